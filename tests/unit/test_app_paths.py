"""Root does nothing by path where an app can write: the functions that do are known, and say why they may."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What follows a link on its way, or waits for whoever holds the other end of a pipe.
FORBIDDEN = {
    "os.chown", "os.chmod", "os.lchown", "os.walk", "os.makedirs", "os.link", "os.truncate", "os.removedirs",
    "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree", "shutil.chown",
    "glob.glob", "open", "os.open", "tarfile.open", "zipfile.ZipFile",
}  # fmt: skip
# Run by the app's user alone (Runner.as_app, forked), who may do there what it wants.
APPS_OWN = {"app_project", "release_source.unpack", "app_process.answer_as"}
# Run by root, in folders of root's that no app can write to, by what these are.
ROOTS_OWN = {
    "a new folder in one of root's": ["release_layout.own_folder", "release_build.prepare"],
    "what an app's configuration is made of, and its copy in the release": [
        "release_build.add_configuration", "release_build.fingerprint", "release_plan.processes_changed",
        "release_layout.limit_met", "env_file.exports", "removal_look.environment", "audit_inside.app_files",
    ],
    "bin, config, static and the record of a release, which is root's": [
        "release_build.write_environment", "release_build.write", "release_layout.record",
        "release_requirements._lines",
    ],
    "the published static files; the app's are opened one in the other, and never by path": [
        "release_build.publish_from", "release_build.folder_below", "release_build.opened", "release_build.put",
        "release_build.withdraw",
    ],
    "a pattern that the app's user looks for": ["release_requirements._installed"],
    "the folder is the app's and cannot be exchanged; a new file, or one that is no link and that user's own": [
        "release_source.git_access", "release_health.own_socket",
    ],
    "what the app's user removes": ["release_source._git_submodules"],
    "archives in the folder of a release, or where Ansible has put them": [
        "release_source.fetch", "release_source._download", "manage.main",
    ],
    "dumps, the lock and the maintenance page of an app, which are root's": [
        "release_database.dump", "release_database.restore", "release_database.dumps", "release_lock.__enter__",
        "release_switch.paused", "backup_restore.closed", "removal_look.refuse_during_deploy",
        "postgres_upgrade.close_apps",
    ],
    "the logs of an app, whose folder is root's": ["log_files.logs_of", "log_files.end_of"],
    "backups on their way, in folders that root alone can enter": [
        "backup_archive.as_of", "backup_archive.start", "backup_drill.in_file", "backup_fetch.__init__",
        "backup_fetch.hand_over", "backup_fetch.below", "backup_restore.exchange", "backup_restore.run",
        "backup_take.load", "backup_take.take", "backup_take.clear", "backup_take.check", "copies.create",
        "copies.digest", "copies.synced", "removal_dump.make", "removal_dump.begin", "removal_dump.postgres",
    ],
    "what PostgreSQL's user does, among its own files": [
        "postgres_upgrade.carry", "postgres_upgrade.confirm", "postgres_upgrade.drop",
        "postgres_upgrade.replace", "postgres_upgrade.settings_in", "postgres_upgrade.synchronize",
        "postgres_upgrade.write",
    ],
    "folders of Redis, Valkey and RabbitMQ, whose names alone matter": ["undeclared.stores", "undeclared.vhosts"],
    "PostgreSQL's own folders": [
        "backup_recovery.aimed", "backup_recovery.finish", "backup_recovery.fetch", "backup_recovery.log",
        "backup_recovery.back", "archive_recovery.configured", "postgres_upgrade.give_to_root",
    ],
    "names and rights, of which nothing is opened but what is no link": [
        "audit_inside.host_files", "audit_inside.named", "audit_inside.encrypted", "removal_look.leftovers",
        "undeclared.present",
    ],
    "Homeport's own records, the system's files, and the kernel's": [
        "app_process.members", "audit_inside.kernel", "audit_inside.inet_interfaces", "audit_inside.postgres",
        "audit_inside.read_all", "archive_recovery.alone", "backup_archive.configured", "backup_keys.record",
        "backup_main.configured", "backup_main.alone", "backup_state.read", "backup_state.write",
        "backup_store.environment", "backup_store.run", "backup_take.folders", "release_history.append",
        "release_history.entries", "release_layout.host_settings", "release_layout.pipe", "release_lock.holders",
        "release_switch.release_of", "release_switch.waits_for_something", "removal_look.files_of_roles",
        "removal_look.domains", "removal_look.removed", "removal_look.state", "removal_look.recorded",
        "removal_look.mounted_below",
        "postgres_upgrade.alone", "postgres_upgrade.dump", "postgres_upgrade.folder", "postgres_upgrade.open_apps",
        "postgres_upgrade.record", "postgres_upgrade.write_whole",
        "status_backups.loaded", "status_collect.host", "status_collect.deploys",
        "status_collect.timers", "status_collect.read", "undeclared.databases",
    ],
}  # fmt: skip
# What works on an app on its host; the others write what the roles declare, or run on the controller.
LOOKED_AT = (
    "app_process", "archive_", "audit_inside", "backup_", "claims", "copies", "env_file", "log_files", "manage",
    "move_database", "postgres_upgrade", "psql", "release", "removal_", "status_backups", "status_collect",
    "undeclared",
)  # fmt: skip


def calls(tree: ast.AST) -> list[tuple[str, int, str]]:
    """Forbidden calls and references, each with its line and the function that it is in."""
    found: list[tuple[str, int, str]] = []

    def visit(node: ast.AST, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef) else function
            name = ""
            if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
                name = f"{child.value.id}.{child.attr}"
            elif isinstance(child, ast.Name):
                name = child.id
            if isinstance(child, ast.expr) and name in FORBIDDEN:
                found.append((name, child.lineno, function))
            visit(child, inside)

    visit(tree, "")
    return found


def test_root_works_by_path_in_folders_of_its_own_alone() -> None:
    known = {name for names in ROOTS_OWN.values() for name in names}
    unknown, used = [], set()
    for path in sorted((ROOT / "plugins").glob("module*/*.py")):
        if path.stem in APPS_OWN or not path.stem.startswith(LOOKED_AT):
            continue
        for name, line, function in calls(ast.parse(path.read_text())):
            where = f"{path.stem}.{function}"
            used.add(where)
            if where not in known | APPS_OWN:
                unknown.append(f"{path.stem}.py:{line}: {name} in {function}")
    assert unknown == []
    assert known - used == set()


def test_a_call_is_found_wherever_it_stands() -> None:
    tree = ast.parse("import os\ndef f():\n    def g():\n        run(os.chown, 1)\n    os.walk('/')\n")
    assert calls(tree) == [("os.chown", 4, "g"), ("os.walk", 5, "f")]
