"""Runs on a test host from its start: keeps the command line of every process that it sees, each once."""

import os
import time

FOLDER = "/run/homeport-sampler"


def main() -> None:
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    seen: set[bytes] = set()
    known: set[str] = set()
    young: dict[str, float] = {}  # those that may still become another program, and since when they are there
    with open(f"{FOLDER}/commands", "ab", buffering=0) as stream:
        while True:
            now = time.monotonic()
            names = set(os.listdir("/proc"))
            if names != known:
                young.update(dict.fromkeys(filter(str.isdigit, names - known), now))
                known = names
            for pid, since in list(young.items()):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as command:
                        words = command.read()
                except OSError:
                    del young[pid]
                    continue
                if words and words not in seen:
                    seen.add(words)
                    stream.write(words.replace(b"\0", b" ") + b"\n")
                if now - since > 3:
                    del young[pid]
            time.sleep(0.03)


if __name__ == "__main__":
    main()
