"""Every folder molecule/<name> with a molecule.yml, from nothing to nothing, on each of its images.

The images of a scenario are the lines of molecule/<name>/images, else one Debian 13; IMAGE=... in the
environment replaces them. The whole output of a run is kept in .cache/test-logs.
"""

import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
LOGS = ROOT / ".cache" / "test-logs"
LINES = 200  # of a log at -vvv, which has some twenty thousand
# In the end no processor waits long for the last one.
SHORTEST_LAST = (
    "faults", "layouts", "backup", "two_workers", "deploys", "operations", "worker", "multi_app", "https",
    "two_servers", "simple", "typical", "cache",
)  # fmt: skip
MINUTES = int(os.environ.get("SCENARIO_MINUTES", "30"))


def runs() -> list[tuple[str, str]]:
    found = []
    for folder in sorted(path.parent for path in (ROOT / "molecule").glob("*/molecule.yml")):
        listed = folder / "images"
        images = [os.environ["IMAGE"]] if os.environ.get("IMAGE") else ["debian:13"]
        if listed.exists() and not os.environ.get("IMAGE"):
            images = listed.read_text().split()
        found += [(folder.name, image) for image in images]
    return sorted(found, key=lambda run: SHORTEST_LAST.index(run[0]) if run[0] in SHORTEST_LAST else -1)


def slug(scenario: str, image: str) -> str:
    return f"{scenario}-{image.replace(':', '-').replace('/', '-')}"


def molecule(scenario: str, image: str, log: Path) -> int:
    name = slug(scenario, image)
    # The pytest inside is one of its own.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {
        "IMAGE": image,
        "MOLECULE_EPHEMERAL_DIRECTORY": str(ROOT / ".cache" / "molecule" / name),
        "MOLECULE_COMMAND_BORDERS": "false",
        "NO_COLOR": "1",
        "PYTEST_ADDOPTS": f"--junit-xml={log.with_suffix('.xml')} --color=no",
    }
    command = [str(ROOT / "bin" / "molecule"), "test", "--scenario-name", scenario]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=MINUTES * 60)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                stream.write(f"\nStopped: it took longer than {MINUTES} minutes (SCENARIO_MINUTES).\n")
                return 124
            raise


def failures(cases: list[ElementTree.Element]) -> str:
    """What each failed check of the servers says, which the log has long before its end."""
    return "\n\n".join(
        f"{case.get('classname')}.{case.get('name')}:\n{(problem.text or problem.get('message') or '').strip()}"
        for case in cases
        for problem in [*case.findall("failure"), *case.findall("error")]
    )


@pytest.mark.parametrize(("scenario", "image"), runs(), ids=lambda value: value)
def test_scenario(scenario: str, image: str, subtests: pytest.Subtests) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{slug(scenario, image)}.log"
    checks = log.with_suffix(".xml")
    checks.unlink(missing_ok=True)
    status = molecule(scenario, image, log)
    cases = list(ElementTree.parse(checks).iter("testcase")) if checks.exists() else []
    if status:
        last = failures(cases) or "\n".join(log.read_text().splitlines()[-LINES:])
        pytest.fail(f"{scenario} on {image} ended with {status}, see {log}:\n\n{last}", pytrace=False)
    # Each check of the servers counts.
    for case in cases:
        with subtests.test(f"{case.get('classname')}.{case.get('name')}"):
            skipped = case.find("skipped")
            if skipped is not None:
                pytest.skip(skipped.get("message") or "")
