# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps in, each role's own variables out; on the controller."""
