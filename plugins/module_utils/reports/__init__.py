# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What status and audit say of what hosts have answered; on the controller."""
