# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Stopping an app, starting it again, and removing what the roles leave of it."""

from __future__ import annotations

import grp
import os
import signal

from ansible_collections.homeport.django.plugins.module_utils.common.paths import RUNTIME
from ansible_collections.homeport.django.plugins.module_utils.host.copies import call
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.layout import remove as remove_folder
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    LONG,
    Cluster,
    quote_name,
    quote_text,
)
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import (
    App,
    databases,
    processes_of,
    programs,
)
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import Supervisor, wait_until

GRACE = 10  # seconds that what no service manages has to end
TEMPORARY = (
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev/mqueue",
    "/run/lock",
    "/var/crash",
    "/var/spool/cron/atjobs",
)
# What a user can have run later, by its name: it would be the next user's who is called so.
LATER = ("/var/spool/cron/crontabs", "/var/lib/systemd/linger")


def stop(app: App) -> None:
    """Nothing of the app runs after this; its programs and timers are still declared."""
    timers = app.timers()
    if timers:
        call(
            ["systemctl", "stop", *timers, *(unit.replace(".timer", ".service") for unit in timers)],
            "systemctl",
        )
    names = programs(app)
    if names:
        Supervisor().stop(names, stop_timeout(app))
    end_processes(app)


def stop_timeout(app: App) -> float:
    """As long as supervisord itself is patient with the app's most patient process."""
    found = Supervisor().api.getAllConfigInfo()
    return (
        max((info["stopwaitsecs"] for info in found if info["group"].startswith(f"{app.name}.")), default=0)
        + 5
    )


def end_processes(app: App) -> None:
    """Ends what still runs as the app's user, whichever user started it."""
    account = app.account()
    if not account:
        return
    if account.pw_uid == 0:
        raise DeployError(f"The user {app.name} is root")
    signal_all(account.pw_uid, signal.SIGTERM)
    wait_until(lambda: not processes_of(account.pw_uid), GRACE, 0.1)
    # in any case: what forks quickly is not seen by who counts
    signal_all(account.pw_uid, signal.SIGKILL)
    if not wait_until(lambda: not processes_of(account.pw_uid), GRACE, 0.1):
        left = ", ".join(map(str, processes_of(account.pw_uid)[:10]))
        raise DeployError(f"Processes of {app.name} cannot be stopped: {left}")


def signal_all(uid: int, number: int) -> None:
    """Sends a signal to all processes of a user in one call of the kernel's: one by one, what forks quickly escapes."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setuid(uid)
            os.kill(-1, number)  # all that this user may send it to, but not this process
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def start(app: App) -> None:
    """Back to what runs when nobody has stopped it."""
    for name in programs(app):
        Supervisor().start(name)
    timers = app.timers()
    if timers:
        call(["systemctl", "start", *timers], "systemctl start")


def drop(cluster: Cluster, app: App, keep: list[str]) -> list[str]:
    """Drops the app's databases and its role; returns what was done."""
    found = databases(cluster, app, keep)
    statements = []
    for entry in found["databases"]:
        name = quote_name(entry["name"])
        # who is connected keeps a database from being dropped; nobody new may come
        statements.append(("", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        statements.append(
            (
                "",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = {quote_text(entry['name'])}",
            )
        )
        statements.append((f"database {entry['name']}", f"DROP DATABASE {name} WITH (FORCE)"))
    if found["role"]:
        statements += [("", f"DROP ROLE {quote_name(login)}") for login in found["logins"]]
        statements.append((f"PostgreSQL role {app.name}", f"DROP ROLE {quote_name(app.name)}"))
    for _what, statement in statements:
        try:
            cluster.ask(f"{statement};\n", LONG)
        except DeployError as error:
            raise DeployError(f"{statement}: {error}") from error
    cluster.clear()  # of the dump's role, what held it is dropped now
    return [what for what, _statement in statements if what]


def remove(app: App, cluster: Cluster | None, keep: list[str]) -> list[str]:
    """Removes what the roles have left, except the user (``remove_user``)."""
    left = programs(app)
    if left:
        raise DeployError(f"supervisord still has the programs {', '.join(left)}: nothing was removed")
    kept = app.stores()
    if kept:
        raise DeployError(f"{', '.join(kept)} is still declared on this host; nothing was removed")
    done = drop(cluster, app, keep) if cluster else []
    if app.account():
        later = [f"{folder}/{app.name}" for folder in LATER]
        done += [path for path in later if take_away(path)]
    end_processes(app)
    paths = app.leftovers()
    account = app.account()
    if account:
        paths += [f"{RUNTIME}/{account.pw_uid}.sock", *owned(account.pw_uid)]
    for path in paths:
        if take_away(path):
            done.append(path)
    return done


def remove_user(app: App) -> list[str]:
    """Comes last: by then no file belongs to a number that is free again, and an interrupted run is seen."""
    account = app.account()
    if not account:
        return []
    call(["userdel", app.name], "userdel")
    if has_group(
        app.name, account.pw_gid
    ):  # it goes with the user unless the host's login.defs says otherwise
        call(["groupdel", app.name], "groupdel")
    return [f"user {app.name}"]


def has_group(name: str, gid: int) -> bool:
    try:
        return grp.getgrnam(name).gr_gid == gid
    except KeyError:
        return False


def owned(uid: int) -> list[str]:
    """What a user has left in the folders where everybody may write."""
    return [
        entry.path
        for folder in TEMPORARY
        if os.path.isdir(folder)
        for entry in os.scandir(folder)
        if entry.stat(follow_symlinks=False).st_uid == uid
    ]


def take_away(path: str) -> bool:
    """Removes a file, or a folder with everything in it; a link is removed and never followed."""
    if not os.path.lexists(path):
        return False
    if os.path.isdir(path) and not os.path.islink(path):
        remove_folder(path)
    else:
        os.unlink(path)
    return True
