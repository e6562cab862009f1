"""report.yml: a page with the current state of each Pi, and its history."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.support.browser import open_browser, take_screenshot
from tests.support.classroom import ANSIBLE, ROOT, Classroom, recap

LESSON = "/home/student/notebooks/part2_neural_network.ipynb"


@contextmanager
def shown(folder: Path) -> Iterator[Page]:
    """Open the page in a browser, and check that it requests nothing from the network."""
    with open_browser() as browser:
        page = browser.pages[0]
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"file://{folder}/index.html")
        yield page
        assert [url for url in requested if not url.startswith(("file:", "data:"))] == []


def report(classroom: Classroom, folder: Path) -> subprocess.CompletedProcess[str]:
    return classroom.playbook("report", "-e", f"report_folder={folder}")


@pytest.fixture(scope="module")
def reported(classroom: Classroom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the report of one run."""
    folder = tmp_path_factory.mktemp("report")
    assert report(classroom, folder).returncode == 0
    return folder


def facts(page: Page) -> dict[str, str]:
    """Return the entries of the Pi's article, by their labels."""
    terms = page.locator("article dt").all_inner_texts()
    return dict(zip(terms, page.locator("article dd").all_inner_texts(), strict=True))


def test_each_pi_is_described(classroom: Classroom, reported: Path) -> None:
    """The page agrees with the Pi, nothing is changed on it, and the second run draws plots."""
    done = report(classroom, reported)
    assert done.returncode == 0
    assert recap(done.stdout)[classroom.host].changed == 0
    python = "/opt/mynn/venv/bin/python"
    versions = classroom.ssh(
        f"{python} -c 'import numpy, notebook, platform, mynn; "
        "print(platform.python_version(), numpy.__version__, notebook.__version__, mynn.__version__)'"
    ).stdout.split()
    free = int(classroom.ssh("df --output=avail -BMB / | tail -1").stdout.strip().rstrip("MB"))
    with shown(reported) as page:
        assert page.locator("h1").inner_text() == "The Pi is ready"
        assert page.locator("article header a").get_attribute("href") == f"http://{classroom.address}:8888"
        texts = facts(page)
        assert "Debian GNU/Linux 13" in texts["System"]
        assert re.findall(r"[\d.]+\d", texts["Versions"]) == versions
        assert re.match(r"(\d+) of \1 files are there", texts["Lessons"])
        figure, unit = texts["Card"].split()[:2]
        assert float(figure) * (1000 if unit == "GB" else 1) == pytest.approx(free, rel=0.05, abs=200)
        assert set(texts) >= {"Memory", "Card wear", "Temperature", "Power", "Switched on", "Last update"}
        assert page.locator("figure svg").count() >= 2
        assert page.locator(".faults li").count() == 0
        take_screenshot(page, classroom, "report")
        page.set_viewport_size({"width": 390, "height": 844})  # a phone
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert classroom.password not in (reported / "history.jsonl").read_text(encoding="utf-8")


def test_faults_are_shown_in_red(classroom: Classroom, tmp_path: Path) -> None:
    """A stopped server and a truncated lesson are shown with what to do, and are in the output as well."""
    try:
        classroom.ssh(f"sudo cp -a {LESSON} /root/kept && sudo truncate --size=100 {LESSON}")
        classroom.ssh("sudo systemctl stop jupyter")
        done = report(classroom, tmp_path)
    finally:
        classroom.ssh(f"sudo mv /root/kept {LESSON}; sudo systemctl start jupyter")
    assert done.returncode == 0
    assert "pi-01: The notebook server is not running" in " ".join(done.stdout.split())
    with shown(tmp_path) as page:
        assert page.locator("h1").inner_text() == "The Pi is not ready"
        found = page.locator(".faults li")
        texts = found.all_inner_texts()
        assert any(text.startswith("The notebook server is not running") and "make site" in text for text in texts)
        assert any(text.startswith("Cannot be opened: part2_neural_network.ipynb.") for text in texts)
        red = found.locator("strong").first.evaluate("element => getComputedStyle(element).color")
        assert red == "rgb(179, 38, 30)"
        assert f"site.yml --limit {classroom.host}" in page.locator("article").inner_text()
        take_screenshot(page, classroom, "report-in-red")


def test_a_pi_that_is_off_is_shown_with_its_last_state(classroom: Classroom, reported: Path, tmp_path: Path) -> None:
    """Even if it is the only one, so that no Pi answers."""
    inventory = tmp_path / "inventory.ini"
    text = classroom.inventory.read_text(encoding="utf-8")
    inventory.write_text(re.sub(r"ansible_port=\d+", "ansible_port=1", text), encoding="utf-8")  # nothing listens there
    command = [
        str(ANSIBLE),
        "-i",
        str(inventory),
        str(ROOT / "playbooks/report.yml"),
        "-e",
        f"report_folder={reported}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout
    assert "does not answer over SSH" in " ".join(done.stdout.split())
    with shown(reported) as page:
        assert page.locator("article .verdict").inner_text() == "✘ no answer"
        assert "It last answered on" in page.locator(".faults").inner_text()
        assert "Debian GNU/Linux 13" in facts(page)["System"]
