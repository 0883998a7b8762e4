# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an app's health page answers."""

from __future__ import annotations

import http.client
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import Layout
from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    ask,
    healthy,
    refuses_on_purpose,
)


def asked_for(spec: dict[str, Any]) -> bool:
    """Whether an app may be asked for pages: not beside workers alone, and not the first release of one that its first
    visitor sets up."""
    return bool(spec["socket"] and (spec["health"].get("first", True) or Layout(spec).has_followed()))


def health(spec: dict[str, Any], timeout: float) -> dict[str, Any]:
    """What the app's health page answers on the app's public socket."""
    result = {"ok": False, "status": None, "milliseconds": None, "error": "", "path": spec["health"]["path"]}
    started = time.monotonic()
    try:
        status, detail = ask_health(spec, timeout)
    except (FileNotFoundError, ConnectionRefusedError):
        return {**result, "error": f"nothing listens on {spec['socket']}"}
    except BlockingIOError:
        return {**result, "error": "its queue of waiting requests is full"}
    except (OSError, http.client.HTTPException) as error:
        spent = time.monotonic() - started
        late = spent >= timeout or isinstance(error, TimeoutError)
        return {**result, "error": f"no answer within {timeout:g} s" if late else f"no answer: {error}"}
    is_healthy = healthy(status, spec["health"]["status"]) or refuses_on_purpose(status, spec["home"])
    result.update(ok=is_healthy, status=status, milliseconds=round(1000 * (time.monotonic() - started)))
    if not is_healthy:
        result["error"] = f"answers with status {status}" + (f": {detail}" if detail else "")
    return result


def ask_health(spec: dict[str, Any], timeout: float) -> tuple[int, str]:
    """Status and, where it is plain text, the beginning of the answer; in the words of the web server in front."""
    page = ask(spec["socket"], spec["health"]["path"], spec["site_url"], timeout, 2000)
    shown = page.kind in ("text/plain", "application/json")
    return page.status, " ".join(page.text.split())[:200] if shown else ""
