#!/usr/bin/env python
import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "memories.settings")
    if sys.argv[1:2] == ["test"]:
        # The tests sign nothing that outlives them, so they need no secret of anyone's.
        os.environ.setdefault("SECRET_KEY", "known-to-everybody-and-only-for-tests")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
