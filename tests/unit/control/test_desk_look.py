"""The desk's pages about a pupil's lesson and about a task: what pupils wrote is shown, and does nothing."""

import json
import os
import pwd
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mynn.tasks import Answer, Record
from mynn_control.desk import record
from mynn_control.desk.database import Database
from tests.support.browser import assert_accessible
from tests.support.desk import open_desk
from tests.unit.control.test_desk_pis import answer

ME = pwd.getpwuid(os.geteuid()).pw_name
LESSON = "part2_mnist_data_set"
INVENTORY = """
[pis]
pi-01 folder={folder}/pi-01
pi-02 folder={folder}/pi-02
[pis:vars]
ansible_connection=local
ansible_become=false
__python_venv={venv}
classroom_students=[{{"name": "{me}", "url": "http://pi", "folder": "{{{{ folder }}}}", "hash_file": "/none"}}]
"""
# Whatever of this does something, connects to {evil}.
HOSTILE = """<script>fetch("{evil}")</script><img src="{evil}/1"><img src="x" onerror="fetch('{evil}/2')">
<svg onload="fetch('{evil}/3')"><script>fetch("{evil}/4")</script><image href="{evil}/5"/></svg>
<style>@import "{evil}/6"; body {{ background: url({evil}/7) }}</style><link rel="stylesheet" href="{evil}/8">
<iframe src="{evil}/9"></iframe><form action="{evil}"><button>form</button></form><base href="{evil}">
<meta http-equiv="refresh" content="0; url={evil}/10"><a href="javascript:fetch('{evil}/11')">link</a>
<a href="{evil}/12">away</a> harmless"""


def data(kind: str, text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {kind: text}}


def notebook(hostile: str) -> str:
    """Return a pupil's notebook, whose outputs and text are hostile."""
    kinds = ("text/html", "text/markdown", "image/svg+xml", "application/javascript", "text/latex", "image/png")
    outputs = [data(kind, hostile) for kind in kinds] + [data("image/png", "A" * 300_000)]
    outputs += [{"output_type": "stream", "name": "stdout", "text": "again\n" * size} for size in (10, 500_000)]
    outputs += [{"output_type": "error", "ename": hostile, "evalue": "", "traceback": [hostile]}]
    code: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": 1}
    cells = [code | {"source": f"fours = 4\n{hostile}", "outputs": outputs}]
    cells += [{"cell_type": kind, "metadata": {}, "source": hostile} for kind in ("markdown", "raw")]
    cells += [code | {"source": ["grey = 2\n", "check(grey, 3)"], "outputs": []}]
    return json.dumps({"cells": cells, "metadata": {"title": hostile}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.slow
def test_a_pupils_lesson_is_shown_and_does_nothing(tmp_path: Path, browser_page: Page) -> None:
    """As it is on the Pi, or as it was collected. Keys go to the next pupil, and a link to the answers of all."""
    page, (inventory, folder, at) = browser_page, (tmp_path / name for name in ("inventory.ini", "desk", "pi-01"))
    inventory.write_text(INVENTORY.format(folder=tmp_path, venv=sys.prefix, me=ME))
    listening = socket.create_server(("127.0.0.1", 0))
    hostile = HOSTILE.format(evil=f"http://127.0.0.1:{listening.getsockname()[1]}")
    collection = tmp_path / "work/2026-11-26_10-00-00/pi-02"
    for path in (folder, at, collection / ME):
        path.mkdir(parents=True)
    (collection / "SHA256SUMS").touch()
    for path in (at, collection / ME):
        (path / f"{LESSON}.ipynb").write_text(notebook(hostile))
    database = Database(folder / "memory.sqlite")
    for pi, typed in (("pi-01", "<b>4"), ("pi-02", "2 + 2")):
        told = answer(records={ME: Record({}, {"grey": Answer(False, typed), "fours": Answer(True, "4")}).text()})
        database.save_report(pi, **record.columns_of(pi, time.time(), told), lessons="", room=250)
        database.save_names({(pi, ME): f"Ada on {pi}"})
    with open_desk(inventory, folder) as (url, _):
        page.goto(f"{url}/tasks")
        page.get_by_role("button", name="Ada on pi-01, pi-01, Lesson 1").click()
        page.get_by_role("link", name="grey").click()
        shown = page.frame_locator("iframe")
        expect(shown.locator(":target")).to_contain_text("check(grey, 3)")
        expect(shown.locator(":target")).to_be_in_viewport()
        expect(shown.get_by_text("This output is too large to be shown here.")).to_have_count(2)
        expect(shown.get_by_text("again again")).to_have_count(1)
        expect(page.locator("h1")).to_contain_text("Ada on pi-01, pi-01")
        assert_accessible(page)
        page.get_by_role("heading").click()
        page.keyboard.press("ArrowRight")
        expect(page.locator("h1")).to_contain_text("Ada on pi-02, pi-02")
        expect(shown.get_by_text("This is how it was collected on 26 November 2026, 10:00.")).to_be_visible()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("h1")).to_contain_text("Ada on pi-01, pi-01")
        expect(shown.locator(":target")).to_be_in_viewport()

        page.get_by_role("link", name="grey: the answers of all").click()
        answers = page.locator(".answers li")
        expect(answers).to_have_text(["✘ 1 <b>4 Ada on pi-01, pi-01", "✘ 1 2 + 2 Ada on pi-02, pi-02"])
        page.get_by_role("link", name="Without names").click()
        page.get_by_role("link", name="fours").click()
        expect(answers).to_have_text(["✔ 2 4"])
        assert "Ada" not in page.locator("main").inner_text()
        assert_accessible(page)
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.accept()
