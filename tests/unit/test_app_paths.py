"""Root does nothing by path where an app can write: the functions that do are known, and say why they may."""

from __future__ import annotations

import ast
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
# What follows a link on its way, or waits for whoever holds the other end of a pipe.
FORBIDDEN = {
    "os.chown", "os.chmod", "os.lchown", "os.walk", "os.makedirs", "os.link", "os.truncate", "os.removedirs",
    "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree", "shutil.chown",
    "glob.glob", "open", "os.open", "tarfile.open", "zipfile.ZipFile",
}  # fmt: skip
# Run by the app's user alone (Runner.as_app, forked), who may do there what it wants.
APPS_OWN = {"release.project", "release.archives.unpack", "app_process.answer_as", "uploads"}
# Run by a release's own Python, as the app's user.
PROGRAMS = {
    f"programs.{path.stem}"
    for path in (PLUGINS / "module_utils/host/programs").glob("*.py")
    if path.stem not in ("command", "counts", "postgres_client")
}
# Run by root, in folders of root's that no app can write to, by what these are.
ROOTS_OWN = {
    "a new folder in one of root's": [
        "layout.own_folder", "release.build.fetch_code", "modules.move_media.make_folder",
    ],
    "what an app's configuration is made of, and its copy in the release": [
        "release.build.add_configuration", "release.build.fingerprint", "release.plan.processes_changed",
        "layout.limit_met", "common.env_file.exports", "removal.look.environment", "audit.files.app_files",
    ],
    "bin, config, static and the record of a release, which is root's": [
        "release.build.write_environment", "release.build.write", "layout.record",
        "release.requirements._lines", "bought_database.django_of",
    ],
    "the published static files; the app's are opened one in the other, and never by path": [
        "release.static_files.publish_from", "release.static_files.folder_below", "release.static_files.opened",
        "release.static_files.put", "release.static_files.withdraw",
    ],
    "a pattern that the app's user looks for": ["release.requirements._installed", "release.requirements._lacks"],
    "the folder is the app's and cannot be exchanged; a new file, or one that is no link and that user's own": [
        "release.git_access.git_access", "release.source_look.over_ssh", "release.health.own_socket",
    ],
    "what the app's user removes": ["release.source._git_submodules", "release.build.prepare"],
    "archives in the folder of a release, or where Ansible has put them": [
        "release.source.fetch", "release.source._download", "modules.manage.main",
    ],
    "dumps, the lock and the maintenance page of an app, which are root's": [
        "release.database.dump", "release.database.restore", "release.dumps.records", "release.lock.__enter__",
        "status.apps.nobody_has",
        "closed.close", "closed.closed_by", "removal.look.refuse_during_deploy",
        "upgrade.closing.check_closed_by", "upgrade.closing.close_apps", "upgrade.closing.run_of", "rename.is_closed",
        "rename.stop",
    ],
    "the logs of an app, whose folder is root's": [
        "log_files.logs_of", "log_files.end_of", "transcript.__enter__", "transcript.newest",
    ],
    "backups on their way, in folders that root alone can enter": [
        "backup.archive.as_of", "backup.archive.second_cluster", "backup.archive.sweep", "backup.archive.clear",
        "backup.archive.refuse_invalid_pages", "backup.archive.start",
        "backup.drill.in_file", "backup.fetch.__init__",
        "backup.fetch.hand_over", "backup.fetch.below", "backup.restore.exchange", "backup.restore.run",
        "backup.restore.undo_interrupted", "backup.leftovers.sweep", "backup.state.write_whole",
        "backup.take.load", "backup.take.take", "backup.take.clear", "backup.take.check", "copies.create",
        "common.digests.file_digest", "copies.synced", "removal.dump.make", "removal.dump.begin",
        "removal.dump.postgres",
    ],
    "what PostgreSQL's user does, among its own files": [
        "upgrade.finish.confirm", "upgrade.folders.replace", "upgrade.folders.synchronize", "upgrade.postgres.drop",
        "upgrade.settings.carry", "upgrade.settings.settings_in", "upgrade.settings.write", "move.cluster.write_new",
        "move.target.copy",
    ],
    "folders of Redis, Valkey and RabbitMQ, whose names alone matter": ["undeclared.stores", "undeclared.vhosts"],
    "PostgreSQL's own folders": [
        "backup.recovery.aimed", "backup.recovery.finish", "backup.recovery.fetch", "backup.recovery.log",
        "backup.recovery.back", "modules.archive_recovery.configured", "upgrade.settings.give_to_root",
    ],
    "names and rights, of which nothing is opened but what is no link": [
        "audit.files.host_files", "audit.files.named", "audit.files.encrypted", "removal.look.leftovers",
        "undeclared.present", "rename.forget_releases",
    ],
    "Homeport's own records, the system's files, and the kernel's": [
        "app_process.members", "audit.upkeep.kernel", "audit.services.inet_interfaces", "audit.services.postgres",
        "bought_database.newest_client", "release.requirements.install",
        "modules.archive_recovery.alone", "backup.archive.configured", "backup.keys.record",
        "backup.main.configured", "backup.main.alone", "backup.state.read",
        "backup.store.environment", "backup.store.run", "backup.take.folders", "release.history.append",
        "release.history.entries", "layout.host_settings", "layout.pipe", "release.lock.holders",
        "size.booted", "size.memory_mb",
        "release.serving.release_of", "release.loading.below", "release.loading.open_sockets",
        "release.loading.table", "removal.look.files_of_roles", "site_record.write",
        "sites.configurations", "removal.look.removed", "removal.look.state", "removal.look.recorded",
        "removal.look.mounted_below", "rename.move_record", "rename.moves", "rename.rewrite_records",
        "rename.rewrite_sites", "rename.withdraw_units", "rename.write_over",
        "modules.postgres_upgrade.alone", "upgrade.closing.open_apps", "upgrade.prepare.dump",
        "move.cluster.note", "move.cluster.installed_server", "move.source.forget_set", "move.source.open_way",
        "upgrade.prepare.work_folder", "upgrade.record.record", "upgrade.record.write_whole",
        "programs.postgres_client.newest",
        "status.backups.loaded", "status.host.host", "status.apps.deploys",
        "status.apps.timers", "status.places.read", "undeclared.databases",
    ],
}  # fmt: skip

# What writes what roles declare, and what runs on the controller.
ROLES_OWN = {
    "given", "others", "postgres_clusters", "restarts", "upgrade.system", "modules.host_facts", "modules.local_app",
    "service_config.entries", "service_config.record", "service_config.transaction", "service_config.undo",
}  # fmt: skip


def looked_at() -> list[Path]:
    """Everything that runs on hosts."""
    return sorted(
        path
        for part in ("modules", "module_utils/host", "module_utils/common")
        for path in (PLUGINS / part).rglob("*.py")
    )


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
    for path in looked_at():
        room = ".".join(path.relative_to(PLUGINS).with_suffix("").parts)
        room = room.removeprefix("module_utils.").removeprefix("host.")
        if room in APPS_OWN | PROGRAMS | ROLES_OWN:
            continue
        for name, line, function in calls(ast.parse(path.read_text())):
            where = f"{room}.{function}"
            used.add(where)
            if where not in known | APPS_OWN:
                unknown.append(f"{path}:{line}: {name} in {where}")
    assert unknown == []
    assert known - used == set()


def test_a_call_is_found_wherever_it_stands() -> None:
    tree = ast.parse("import os\ndef f():\n    def g():\n        run(os.chown, 1)\n    os.walk('/')\n")
    assert calls(tree) == [("os.chown", 4, "g"), ("os.walk", 5, "f")]
