"""`make watch`, `message` and `off` on virtual Pis."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.provisioned.notebook_server import NotebookServer
from tests.support.browser import open_browser, url_of
from tests.support.classroom import Classroom
from tests.support.live_page import kept, processor_shares

LESSON = "part2_neural_network.ipynb"
TITLE = "A network from nothing"
FOLLOW = 30_000  # milliseconds until the page shows what happens on a Pi


def signed_in(classroom: Classroom) -> NotebookServer:
    server = NotebookServer(url_of(classroom))
    assert server.sign_in(classroom.password)
    return server


def test_the_teacher_sees_what_is_open_and_what_has_died(classroom: Classroom, tmp_path: Path) -> None:
    server = signed_in(classroom)
    with kept(classroom, "watch", tmp_path) as (url, _), open_browser() as browser:
        page = browser.pages[0]
        page.goto(url)
        card = page.locator("article")
        expect(card).to_contain_text("Nothing open", timeout=FOLLOW)
        expect(card.locator(".memory")).to_contain_text(re.compile(r"\d+ MB free"))
        session = server.open_notebook(LESSON)
        expect(card.locator(".lesson")).to_contain_text(TITLE, timeout=FOLLOW)
        shares = [100 * share for share in processor_shares(classroom, 60)]
        print(f"of a processor, in percent: what asks {shares[0]:.2f}, the notebook server {shares[1]:.2f}")
        assert sum(shares) < 1, "It costs this computer what a Pi Zero cannot give."
        classroom.ssh(
            "sudo pkill -KILL -u student -f ipykernel_launcher || sudo pkill -KILL -u student -f kernel_parent"
        )
        expect(card).to_contain_text("It stopped unexpectedly", timeout=FOLLOW)
        server.delete(f"/api/sessions/{session['id']}")
        expect(card).to_contain_text("Nothing open", timeout=FOLLOW)
        classroom.ssh("sudo systemctl stop jupyter")
        expect(card).to_contain_text("No notebook server yet", timeout=FOLLOW)
        classroom.ssh("sudo systemctl start jupyter")
        expect(card).to_contain_text("Nothing open", timeout=FOLLOW)


def test_a_message_is_shown_and_removed(classroom: Classroom) -> None:
    server = signed_in(classroom)
    for text, shown in (("Five more minutes", {"text": "Five more minutes", "minutes": 0}), ("", None)):
        done = classroom.playbook("message", env=os.environ | {"MESSAGE": text})
        assert done.returncode == 0
        assert server.get("/start/status")["message"] == shown
    refused = classroom.playbook("message", env=os.environ | {"MESSAGE": "<b>"})
    assert refused.returncode != 0 and "so nothing was changed" in refused.stdout


def test_off_lets_a_page_save_and_switches_off(classroom: Classroom, tmp_path: Path) -> None:
    """What is being written in a browser is there when the Pi is on again."""
    place = "/home/student/notebooks/switches.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}  # or a dialog asks for one
    notebook = {"metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    cell: dict[str, Any] = {"cell_type": "code", "id": "a", "metadata": {}, "source": ""}
    cell |= {"outputs": [], "execution_count": None}
    body = {"type": "notebook", "format": "json", "content": notebook | {"cells": [cell]}}
    signed_in(classroom).ask("PUT", "/api/contents/switches.ipynb", json=body).raise_for_status()
    try:
        with open_browser() as browser:
            page = browser.pages[0]
            page.goto(f"{url_of(classroom)}/notebooks/switches.ipynb")
            page.locator("input[name=password]").fill(classroom.password)
            page.locator("button[type=submit]").click()
            expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
            page.locator(".jp-CodeCell .cm-content").first.click()
            page.keyboard.type("# mine")
            done = classroom.playbook("off", "-e", "off_seconds=60")
        assert done.returncode == 0
        assert "pi-01: off\n" in done.stdout.replace('"', "").replace("'", "")
        assert [pi["status"] for pi in classroom.fleet.list()] == ["stopped"]
        again = classroom.playbook("off")
        assert again.returncode == 0 and "pi-01: off already, or not reachable" in again.stdout
    finally:
        classroom.fleet.start("pi-01")
    saved = json.loads(classroom.ssh(f"sudo cat {place}; sudo rm {place}").stdout)
    assert "# mine" in "".join(saved["cells"][0]["source"])
