"""A pupil plays from the start page to what the wall shows, on a server with the role jupyter's settings."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import MINUTES, open_browser, sign_in
from tests.support.jupyter_server import PASSWORD, Server, run_server
from tests.support.pupil import LESSONS, StartPage, play_to_the_wall
from tests.support.student import give_to_student

PATIENCE = 2 * MINUTES


@pytest.fixture
def server(venv: Path, mnist: Path, networks: Path) -> Iterator[Server]:
    """The server of a student who begins."""
    here = {name: os.environ[name] for name in ("PYTHONPATH", "OPENBLAS_NUM_THREADS")}
    here |= {"MNIST_DIR": str(mnist), "NETWORKS_DIR": str(networks)}
    with run_server(venv, environment=here, lessons_pristine=LESSONS) as running:
        folder = running.home / "notebooks"
        shutil.copytree(LESSONS, folder, dirs_exist_ok=True)
        for path in folder.rglob("*"):
            give_to_student(path)
        yield running


@pytest.mark.slow
def test_a_pupil_plays_from_the_start_page_to_the_wall(chromium: None, server: Server, tmp_path: Path) -> None:
    with open_browser(PATIENCE, has_touch=True, offline=True) as browser:
        page = browser.pages[0]
        sign_in(page, server.url, PASSWORD)
        expect(page).to_have_url(re.compile(r"/start/\??$"))
        play_to_the_wall(StartPage(page), lambda name: (server.home / "notebooks" / name).read_bytes(), tmp_path)
