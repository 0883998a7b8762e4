# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The web process, and where static files and media are kept (the upload limit is in proxy.py)."""

from __future__ import annotations

import keyword
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import OWN_ENV
from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import MODULE, InSource
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Int,
    Map,
    Object,
    Problems,
    Scalar,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    HOST_NAME,
    URL_PATH,
    URL_PATH_HINT,
)


def _static_rule(static: dict[str, Any], path: str, problems: Problems) -> None:
    if "cdn" in static and static.get("server") == "none":
        problems.add(f"{path}.cdn", "fetches the files from the app; set server to nginx or whitenoise")


CDN = rf"https://{HOST_NAME}(:[0-9]{{1,5}})?"
STATIC = Object(
    {
        "server": Choice(
            ["nginx", "whitenoise", "none"], doc="who serves static files (default: what the setup has)"
        ),
        "url": Str(
            "path under which they are served", pattern=URL_PATH, hint=URL_PATH_HINT, default="/static/"
        ),
        "cdn": Str(
            "address of a CDN that fetches static files from the app's domain, such as https://cdn.example.org; pages "
            "name it in the place of the domain",
            pattern=CDN,
            hint="must be https:// and a host name, without a slash at the end",
        ),
        "collect": Bool("run collectstatic for each release", default=True),
        "path": InSource("folder of the source that holds them when they are not collected"),
        "precompress": Bool("add .gz and .br files where the project does not make them", default=True),
    },
    short="server",
    doc="static files",
    default={},
    rule=_static_rule,
)

# What the configuration's own code needs, and what would take the app out of supervisord's hands.
OWN_GUNICORN = ("bind", "daemon", "os", "time", "post_worker_init", "post_request", "control_socket")


def _gunicorn_rule(settings: dict[str, Any], path: str, problems: Problems) -> None:
    for name in settings:
        if keyword.iskeyword(name) or name.startswith("_") or name in OWN_GUNICORN:
            what = "is Homeport's own" if name in OWN_GUNICORN else "is not the name of a gunicorn setting"
            problems.add(f"{path}.{name}", what)


WEB = Object(
    {
        "server": Choice(["wsgi", "asgi"], doc="the interface that gunicorn uses", default="wsgi"),
        "application": Str(
            "module:callable (default: found in the settings)",
            pattern=rf"{MODULE}:{MODULE}",
            hint="must look like project.wsgi:application",
        ),
        "workers": Int("worker processes (default: from cores and memory)", low=1, high=256),
        "threads": Int("threads in each worker", low=1, high=256, default=4),
        "timeout": Int("seconds after which a silent worker is replaced", low=1, high=3600, default=30),
        "graceful_timeout": Int(
            "seconds that requests under way may take after a switch", low=1, high=80, default=30
        ),
        "max_requests": Int("requests after which a worker is replaced; 0 is never", high=10**9, default=0),
        "memory": Int(
            "MiB of memory from which on a worker is replaced once it has answered (default: never)",
            low=64,
            high=1 << 22,
        ),
        "port": Int("TCP port where no nginx stands in front", low=1, high=65535, default=80),
        "env": OWN_ENV,
        "gunicorn": Map(
            Scalar(),
            key=r"[a-z_]+",
            key_hint="use the name of a gunicorn setting",
            rule=_gunicorn_rule,
            doc="further settings in gunicorn's own names",
            default={},
        ),
    },
    doc="the web process",
    default={},
)
