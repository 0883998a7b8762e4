"""The operator's other verbs, with links, pipes and devices wherever the app can put some."""

from typing import Any

import requests

from tests.acceptance.attacker import Evil

TRAPS = """
cd /srv/evil/current/src && rm -f manage.py && mkfifo manage.py
cd /srv/evil/shared/data && ln -sfn /etc/shadow db && ln -sfn /srv/victim/config config && mkfifo -m 0644 pipe
cd /srv/evil/shared/media && ln -sfn /etc media && ln -sfn /dev/zero endless
cd /srv/evil/home && ln -sfn /etc/shadow .pgpass && ln -sfn /dev/zero .psqlrc && mkfifo .bashrc
cd /run/homeport/evil && ln -sfn /run/supervisor.sock try.sock && ln -sfn /etc/shadow 0.ready && ln -sfn /etc x
"""


def test_maintenance_and_rotation(evil: Evil, host: Any) -> None:
    evil.do(TRAPS)
    address = host.ansible.get_variables()["ansible_host"]

    def status(app: str) -> int:
        return requests.get(f"http://{address}/", headers={"Host": f"{app}.example"}, timeout=30).status_code

    try:
        assert evil.play("maintenance", "-e", "app=evil", "-e", "state=on").status == 0
        assert (status("evil"), status("victim")) == (503, 200)
        assert evil.play("maintenance", "-e", "app=evil", "-e", "state=off").status == 0
        # a new password and a new secret for all that the app has
        rotation = {"secret_key": [2, 1], "broker_password": [2, 1], "cache_password": [2, 1]}
        done = evil.play("multi_app", evil={"rotation": rotation})
        assert done.status == 0, done.output
        assert (status("evil"), status("victim")) == (200, 200)
    finally:
        evil.play("maintenance", "-e", "app=evil", "-e", "state=off")
        evil.do("cd /srv/evil && rm -f shared/data/* shared/media/* home/.pgpass home/.psqlrc home/.bashrc")
