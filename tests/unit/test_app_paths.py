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
# Run by root, in folders of root's that no app can write to.
ROOTS_OWN = {
    "release_layout.own_folder": "a new folder in one of root's",
    "release_build.prepare": "the folder of a release",
    "release_build.add_configuration": "config, and its copy in the release",
    "release_build.write_environment": "bin and static of a release, which are made there",
    "release_build.write": "bin and config of a release, and its record",
    "release_build.fingerprint": "config",
    "release_build.publish": "the published folders; the app's are opened one in the other",
    "release_build.put": "what is open already, into the published folders",
    "release_build.withdraw": "the published folders",
    "release_requirements._pip": "a file of root's in the release",
    "release_requirements._install_lines": "a file of root's in the release",
    "release_requirements._installed": "the pattern is looked for by the app's user",
    "release_history.append": "Homeport's own records",
}


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
    unknown, used = [], set()
    for path in sorted((ROOT / "plugins/module_utils").glob("*.py")):
        module = path.stem
        if module in APPS_OWN or not module.startswith(("release_", "app_project", "app_process", "claims")):
            continue
        for name, line, function in calls(ast.parse(path.read_text())):
            where = f"{module}.{function}"
            used.add(where)
            if where not in ROOTS_OWN and where not in APPS_OWN:
                unknown.append(f"{module}.py:{line}: {name} in {function}")
    assert unknown == []
    assert set(ROOTS_OWN) <= used, set(ROOTS_OWN) - used


def test_a_call_is_found_wherever_it_stands() -> None:
    tree = ast.parse("import os\ndef f():\n    def g():\n        run(os.chown, 1)\n    os.walk('/')\n")
    assert calls(tree) == [("os.chown", 4, "g"), ("os.walk", 5, "f")]
