"""A broker and a queue that nobody here knows: what the tables have is all that they need on the controller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# In a process of its own: schema, setups and reports are made from the tables when they are imported.
SCRIPT = """
import json

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, Facts
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import INSTANCE, Queue
from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES

FACTS["nats"] = Facts(
    "NATS", {"nats": 4222}, component="service_config.nats", unit="nats-server@{app}-{use}", packaged="nats-server",
    data="nats/{app}-{use}", configuration="nats-{app}-{use}", account="nats", probe=b"PING\\r\\n",
)
ENGINES["nats"] = Engine(
    "nats",
    uses=("broker",),
    resolve=lambda wanted: {
        "managed": True, "host": wanted.host or "127.0.0.1", "port": 422,
        "url": wanted.url("nats", wanted.host or "127.0.0.1", 422, ""), "logins": wanted.logins,
    },
    environment=lambda broker: {"NATS_URL": broker["url"]},
    idle=9,
)
QUEUES["dramatiq"] = Queue(
    "Dramatiq",
    brokers=("nats",),
    command=lambda process, context: f"dramatiq --pid-file {context['home']}/{INSTANCE} {context['process']}",
    stop_signal="HUP",
    memory=50,
    packages={"nats": "dramatiq[nats]"},
)

from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import topology
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.app.check import check, parse
from ansible_collections.homeport.django.plugins.module_utils.common import engines, parts
from ansible_collections.homeport.django.plugins.module_utils.host.status import host
from ansible_collections.homeport.django.plugins.module_utils.reports import audit_services
from ansible_collections.homeport.django.plugins.module_utils.wiring.queues import queue_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import (
    process_scripts,
    supervisord_programs,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.budget import budget
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import exposure
from ansible_collections.homeport.django.plugins.module_utils.wiring.parts import wanted

SECRET = "0123456789abcdef0123456789abcdef"
blog = {
    "domains": ["blog.example.org"], "source": {"git": "https://git.example.org/blog.git"}, "overlay": True,
    "processes": {"queue": {"kind": "dramatiq", "count": 2}},
}
apps = resolve({"blog": blog}, {}, SECRET, "site", {"broker_host": "10.0.0.7"})
app = apps["blog"]
ports = exposure(apps, {"serves": ["broker"], "ssh_ports": [], "peers": ["10.0.0.8"]})
print(json.dumps({
    "problems": check({"blog": {**blog, "broker": "redis"}}, {}, SECRET, "site"),
    "needs_a_host": topology(
        parse({"blog": blog}, {}, SECRET, "site"), {"app_servers": ["a"], "database_servers": ["a"]}, "site"
    ),
    "broker": [app["broker"][key] for key in ("engine", "managed", "host", "port")],
    "environment": sorted(name for name in app["environment"] if name.endswith("_URL")),
    "packages": app["server_packages"],
    "process": app["processes"]["queue"],
    "script": process_scripts(app)["queue"],
    "program": supervisord_programs(apps)["blog.queue"],
    "overlay": queue_apps(apps, "dramatiq")["blog"]["broker"],
    "ports": ports,
    "memory": {item.what: item.idle for item in budget(apps, 1024, ["apps", "broker"]).items},
    "unit": status_apps(apps)[0]["broker"]["unit"],
    "watched": "nats-server" in host.SERVICES,
    "audited": "nats" in audit_services.KEPT,
    "owner": engines.app_of("nats-server@blog-broker.service"),
    "given": list(wanted(apps, apps, ["broker"])),
    "called": parts.NAMES["service_config.nats"],
}))
"""


def test_a_broker_and_a_queue_are_what_the_tables_say() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": COLLECTIONS},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [problem] = found["problems"]
    assert problem == (
        "django_apps.blog.processes.queue.kind: dramatiq works with nats; the app's broker is redis: set broker to nats"
    )
    assert [
        line for line in found["needs_a_host"] if line.startswith("django_apps.blog.broker: is nats, but")
    ]
    assert found["broker"] == ["nats", True, "10.0.0.7", 422]
    assert {"BROKER_URL", "NATS_URL"} <= set(found["environment"])
    assert "dramatiq[nats]" in found["packages"]
    assert found["process"]["command"] == "dramatiq --pid-file /srv/blog/${HOMEPORT_INSTANCE:-0} queue"
    assert found["script"] == "exec dramatiq --pid-file /srv/blog/${SUPERVISOR_PROCESS_NAME:-0} queue\n"
    assert (found["program"]["numprocs"], found["program"]["stopsignal"]) == (2, "HUP")
    assert found["overlay"] == "nats"
    assert [(port["port"], port["sources"], port["service"]) for port in found["ports"]] == [
        (422, ["10.0.0.8"], "nats (blog-broker)")
    ]
    assert (found["memory"]["blog, broker"], found["memory"]["blog, queue"]) == (9, 100)
    assert found["unit"] == "nats-server@blog-broker"
    assert found["watched"] and found["audited"]
    assert found["owner"] == "blog"
    assert found["given"] == ["service_config.nats"]
    assert found["called"] == "NATS"


COLLECTIONS = str(Path(__file__).resolve().parents[2] / ".collections")
