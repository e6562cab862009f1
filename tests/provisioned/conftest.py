"""How the tests reach a Pi, and how their results are recorded. playbooks/verify.yml runs them for each Pi."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
import testinfra

from mynn_control.results import FAILS, NOT_ASKED, Check, save
from tests.provisioned.pi import Pi, Settings, project

ROLES = ["system", "python", "mnist", "mynn", "lessons", "jupyter", "students"]
REASON = 3000  # characters of a reason, which may contain all the output of a program on a Pi
PI = pytest.StashKey[Pi]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that playbooks/verify.yml gives."""
    group = parser.getgroup("mynn-pi")
    group.addoption("--settings", type=Path, help="file with the Pi's name and settings")
    group.addoption("--results", type=Path, help="folder for the results")


def pytest_configure(config: pytest.Config) -> None:
    """Reach the Pi as Ansible does, over one SSH connection."""
    if not config.getoption("--settings"):
        raise pytest.UsageError("Only playbooks/verify.yml knows the Pis' settings: run `make verify`.")
    [(name, settings)] = json.loads(config.getoption("--settings").read_text(encoding="utf-8")).items()
    host = testinfra.get_host(f"ansible://{name}")  # in ANSIBLE_INVENTORY
    config.stash[PI] = Pi(name, host, Settings(**settings))
    # testinfra calls ansible-inventory by its name, and reads ansible.cfg for the arguments of SSH.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ.setdefault("ANSIBLE_CONFIG", str(project() / "ansible.cfg"))
    # Without a control path, each command would open a new connection.
    sockets = tempfile.TemporaryDirectory(prefix="mynn-ssh-")
    config.add_cleanup(sockets.cleanup)
    os.environ.setdefault("ANSIBLE_SSH_EXTRA_ARGS", f"-o ControlPath={sockets.name}/%C")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests in the order in which a Pi is set up."""
    items.sort(key=lambda item: ROLES.index(item.path.stem.removeprefix("test_")))


@pytest.fixture(scope="session")
def pi(request: pytest.FixtureRequest) -> Pi:
    """The Pi under test."""
    return request.config.stash[PI]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the first test of an unreachable Pi fail, and skip its others."""
    pi = item.config.stash[PI]
    if not pi.result.checks:
        pi.contact()
    elif pi.lost:
        pytest.skip(f"{pi.name} does not answer")
    if pi.lost:
        pytest.fail(pi.lost, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep passwords out of every report, and record the test's result."""
    report = yield
    pi = item.config.stash[PI]
    for password in pi.settings.secrets:
        if report.longrepr and password in str(report.longrepr):
            report.longrepr = str(report.longrepr).replace(password, "(the password)")
        report.sections = [(name, text.replace(password, "(the password)")) for name, text in report.sections]
    _record(_check(item, pi), report, call, pi)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the results."""
    folder, pi = session.config.getoption("--results"), session.config.stash[PI]
    if folder and pi.result.checks:
        pi.result.lost = pi.lost
        save(pi.result, folder)


def _check(item: pytest.Item, pi: Pi) -> Check:
    """Return the record of a test, whose sentence is the first paragraph of its docstring."""
    for check in pi.result.checks:
        if check.name == item.name:
            return check
    role, sentence = (
        " ".join((thing.__doc__ or "").strip().partition("\n\n")[0].split())
        for thing in (item.module, item.function)  # type: ignore[attr-defined]
    )
    check = Check(role.rstrip("."), item.name, sentence)
    pi.result.checks.append(check)
    return check


def _record(check: Check, report: pytest.TestReport, call: pytest.CallInfo[None], pi: Pi) -> None:
    check.seconds = round(check.seconds + report.duration, 2)
    check.figures.update(report.user_properties)
    if report.failed:
        check.outcome, check.reason = FAILS, _reason(call)
    elif report.skipped and check.outcome != FAILS:
        check.outcome, check.reason = NOT_ASKED, _reason(call)
    for password in pi.settings.secrets:
        check.reason = check.reason.replace(password, "(the password)")


def _reason(call: pytest.CallInfo[None]) -> str:
    """Return the message of a failed test, without what pytest adds to it."""
    error = call.excinfo.value if call.excinfo else None
    text = re.split(r"\n *(?:assert|\+ )", str(error))[0].strip()[:REASON]
    expected = isinstance(error, (AssertionError, ConnectionError, pytest.fail.Exception, pytest.skip.Exception))
    return text if expected else f"The test itself broke: {type(error).__name__}: {text.partition(chr(10))[0]}"
