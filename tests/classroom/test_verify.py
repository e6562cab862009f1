"""Planted faults are found by the checks that are meant to find them, and by no others; the desk says what to do."""

import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mynn_control.desk.database import Database
from tests.support.browser import open_browser, take_screenshot
from tests.support.classroom import ROOT, Classroom, on, root, with_inventory
from tests.support.desk import open_desk, pis_page

FOLDER = "/home/student/notebooks"
PICTURE = "my_own_images/gaps_3.png"
# A package of Debian's own that requires what pip does not know, as Raspberry Pi OS's apt-listchanges does: no fault.
OTHER = (
    "cd /usr/lib/python3/dist-packages; mkdir apt_listchanges-4.8.dist-info;"
    r"printf 'Metadata-Version: 2.1\nName: apt-listchanges\nVersion: 4.8\nRequires-Dist: debconf\n'"
    " >apt_listchanges-4.8.dist-info/METADATA;"
)
# What is broken on each Pi, and which checks find it.
FAULTS = {
    "pi-01": (
        "systemctl stop jupyter",
        {"test_sign_in_page_is_shown", "test_service_runs"},
    ),
    "pi-02": (
        f"{OTHER} truncate --size=-1000 /srv/mynn/mnist/mnist_test.csv; chmod 0600 /srv/mynn/mnist/mnist_test_10.csv;"
        f"cd /home/student; cp -a notebooks mine; mv notebooks moved; ln -s mine notebooks;"
        f"truncate --size=100 mine/{PICTURE}; rm /opt/mynn/notebooks/{PICTURE}",
        {
            "test_digits_are_complete",
            "test_folders_are_the_students",
            "test_lessons_are_complete",
            "test_untouched_copies_are_complete",
        },
    ),
    "pi-03": (
        "chmod 0644 /etc/jupyter/password; apt-get -q --yes remove python3-scipy;"
        "truncate --size=-1 /opt/mynn/venv/lib/python3*/site-packages/jupyterlab/pytest_plugin.py",
        {
            "test_password_is_kept_as_a_hash",
            "test_programs_are_sandboxed",
            "test_science_works",
            "test_packages_are_undamaged",
            "test_packages_fit_together",
        },
    ),
}
DEAD = "pi-dead"


def failed(folder: Path, pi: str) -> set[str]:
    """Return the names of the checks of a Pi that failed."""
    cases = list(ET.parse(folder / f"junit/{pi}.xml").iter("testcase"))
    assert cases
    return {case.get("name", "").partition("[")[0] for case in cases if case.find("failure") is not None}


def span(folder: Path, pi: str) -> tuple[datetime, datetime]:
    """Return when the checks of a Pi began and ended."""
    suite = ET.parse(folder / f"junit/{pi}.xml").find("testsuite")
    assert suite is not None
    began = datetime.fromisoformat(suite.get("timestamp", ""))
    return began, began + timedelta(seconds=float(suite.get("time", "")))


@pytest.mark.quick
def test_a_healthy_pi_is_reported(classroom: Classroom) -> None:
    """After site.yml every check holds, and the desk says so."""
    classroom.run("verify")
    folder = ROOT / "dist/desk"
    suite = ET.parse(folder / f"junit/{classroom.host}.xml").find("testsuite")
    assert suite is not None and suite.get("name") == classroom.host
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    figures = {figure.get("name"): figure.get("value", "nan") for figure in suite.iter("property")}
    assert float(figures["smoke_accuracy"]) >= float(figures["smoke_bar"])
    assert float(figures["card_mb_per_second"]) > 0
    assert figures["kernel"].startswith("compiled")  # the test setup installs a compiler
    with open_desk(classroom.inventory, folder) as (url, _), open_browser(offline=True) as browser:
        page = browser.pages[0]
        page.goto(f"{url}/pis")
        expect(page.locator("h1")).to_have_text("The Pis: 1 of 1 ready")
        expect(page.locator("article")).to_contain_text("Debian GNU/Linux 13")
        take_screenshot(page, "pis")
        page.set_viewport_size({"width": 390, "height": 844})  # a phone
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_planted_faults_are_found_and_repaired(three: Classroom, own_report: list[str], tmp_path: Path) -> None:
    """On three Pis, and beside one that does not answer. The chapter `desk` shows that all are ready then."""
    # An address that is reserved for documentation (RFC 5737): packets to it are lost.
    four = with_inventory(three, tmp_path, pis=[f"{DEAD} ansible_host=192.0.2.1 jupyter_password=none"])
    for name, (fault, _) in FAULTS.items():
        root(on(three, name), fault)
    output = four.fail("verify", *own_report)
    folder = tmp_path / "desk"
    assert {name: failed(folder, name) for name in FAULTS} == {name: checks for name, (_, checks) in FAULTS.items()}
    began, ended = zip(*(span(folder, name) for name in FAULTS), strict=True)
    assert max(began) < min(ended), "The Pis were not verified side by side."
    page = pis_page(Database(folder / "memory.sqlite").pis(), *FAULTS, DEAD)
    for sentence in (
        "The Pis: 0 of 4 ready",
        "✘ no answer",
        "unreadable for the student, or wrong: mnist_test.csv, mnist_test_10.csv.",
        'data-body="pi=pi-02">Set up this Pi</button>, then <em>Verify</em>.',
    ):
        assert sentence in page
    written = [page, output, *(path.read_text(encoding="utf-8") for path in folder.glob("junit/*.xml"))]
    assert not [text for text in written for name in FAULTS if three.password_of(name) in text]
    assert not (tmp_path / "work/settings.json").exists()

    # As the desk recommends. A student's picture, even a damaged one, is the student's own. Settings are newer than the
    # server.
    server = "systemctl show --property=MainPID --value jupyter"
    process = root(on(three, "pi-02"), f"touch /etc/jupyter/jupyter_server_config.py; {server}")
    root(on(three, "pi-02"), f"rm /home/student/mine/{PICTURE}")
    three.run("site", *own_report)
    assert root(on(three, "pi-02"), server) != process
    assert root(on(three, "pi-02"), f'readlink "{FOLDER} (old)"') == "mine"
    root(on(three, "pi-02"), f'cd /home/student; rm -r mine moved "{FOLDER} (old)"')
    assert "requires debconf" in root(on(three, "pi-02"), "/opt/mynn/venv/bin/python -m pip check || true")
