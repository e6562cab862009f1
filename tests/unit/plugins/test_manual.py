"""The manual: what its pages say of the sources, its archive, and the notebook server that shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest

from tests.unit.plugins.test_server_settings import Server, server, venv

__all__ = ["venv"]  # pytest finds it here

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "roles/manual/files/build.py"
FOREIGN = r"""(?:src=["']?|url\(["']?|@import ["']|<link[^>]*href=["'])(?:https?:)?//[^"')]+"""
LARGEST = 2_000_000  # bytes that a card and a class's Wi-Fi can spare
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Links(HTMLParser):
    """What a page refers to, and the names in it that can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.names.add(value)


@pytest.fixture(scope="module")
def archive() -> Path:
    """The manual as `make site` builds it."""
    done = subprocess.run([sys.executable, BUILD, ROOT], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout)


@pytest.fixture(scope="module")
def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture(scope="module")
def running(venv: Path, archive: Path) -> Iterator[Server]:
    """A notebook server that has the manual, read by an account that sees nothing of this project."""
    place = venv / "manual.zip"
    shutil.copy(archive, place)
    place.chmod(0o644)
    with server(venv, manual_archive=place) as one:
        yield one


def test_every_link_leads_somewhere(contents: dict[str, bytes]) -> None:
    """Also those of the theme, and those to headings; only text links lead out of the manual."""
    pages = {name: Links(content.decode()) for name, content in contents.items() if name.endswith(".html")}
    assert len(pages) > 30
    dead = []
    for name, page in pages.items():
        for link in page.links:
            path, part = urldefrag(urljoin(f"https://manual/{name}", link))
            if not path.startswith("https://manual/"):
                continue
            target = path.removeprefix("https://manual/").partition("?")[0]
            if target not in contents or (part and target.endswith(".html") and part not in pages[target].names):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(contents: dict[str, bytes]) -> None:
    """Neither fonts nor scripts: a Pi has no Internet."""
    for name, content in contents.items():
        if name.endswith((".html", ".css")):
            text = content.decode()
            assert re.findall(FOREIGN, text) == [], name


def test_it_is_small_and_says_nothing_of_this_computer(archive: Path, contents: dict[str, bytes]) -> None:
    assert archive.stat().st_size < LARGEST
    for name, content in contents.items():
        assert str(ROOT).encode() not in content, name


def test_it_is_built_only_when_its_sources_have_changed(archive: Path, tmp_path: Path) -> None:
    """And again in the same bytes, or every Pi would be sent it anew."""
    before = archive.stat()
    subprocess.run([sys.executable, BUILD, ROOT], stdout=subprocess.PIPE, check=True)
    assert archive.stat().st_mtime_ns == before.st_mtime_ns

    copy = tmp_path / "a copy"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "dist", "tests", "files", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    there = copy / "build/manual.zip"
    subprocess.run([sys.executable, BUILD, copy], stdout=subprocess.PIPE, check=True)
    assert there.read_bytes() == archive.read_bytes()

    page = copy / "docs/teach/lessons.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\nOne more sentence.\n", encoding="utf-8")
    subprocess.run([sys.executable, BUILD, copy], stdout=subprocess.PIPE, check=True)
    with zipfile.ZipFile(there) as opened:
        assert b"One more sentence." in opened.read("teach/lessons.html")


def test_reference_has_every_setting_command_and_module(contents: dict[str, bytes]) -> None:
    """As the sources have them now."""
    settings = Links(contents["reference/settings.html"].decode()).names
    for specs in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for name in re.findall(r"(?m)^      (\w+):$", specs.read_text(encoding="utf-8")):
            assert name in settings
    commands = contents["reference/commands.html"].decode()
    for name in ("demo", "site", "collect", "docs"):
        assert f'make</span> <span class="pre">{name}<' in commands
    verbs = Links(contents["reference/mynn.html"].decode()).names
    assert {"mynn-train", "mynn-read", "mynn-experiment", "mynn-experiment-sweep"} <= verbs
    names = Links(contents["reference/api.html"].decode()).names
    assert "mynn.network.NeuralNetwork.backquery" in names


def test_commands_and_lessons_on_the_pages_exist() -> None:
    commands = set(re.findall(r"(?m)^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    known = {name for names in commands for name in names.split()}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:`|^ *)make ([a-z-]+)", text, re.M))
        assert named <= known, page
    lessons = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    for name in ("plan", "task-answers"):
        text = (ROOT / f"docs/teach/{name}.md").read_text(encoding="utf-8")
        assert set(re.findall(r"`(part\w+)`", text)) <= lessons, name


def test_lessons_are_listed_in_their_order(contents: dict[str, bytes]) -> None:
    """With what each notebook says of itself."""
    notebooks = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebooks[path.stem] = json.loads(path.read_text(encoding="utf-8"))["metadata"]["mynn"]
    page = contents["teach/lessons.html"].decode()
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert re.findall(r"<span class=\"pre\">(part\w+)<", table) == sorted(
        notebooks, key=lambda stem: notebooks[stem]["lesson"]
    )
    for about in notebooks.values():
        assert html.escape(about["learn"], quote=False) in table and f"<p>{about['minutes']} min</p>" in table


def test_pupils_find_worksheets_on_their_pi_and_no_answers(contents: dict[str, bytes]) -> None:
    assert {f"teach/worksheet-{number}.html" for number in range(1, 9)} <= contents.keys()
    for name in ("answers", "task-answers", "test", "plan", "marking"):
        assert (ROOT / f"docs/teach/{name}.md").exists()
        assert f"teach/{name}.html" not in contents
    assert b"0.01 each" not in b"".join(contents.values())  # an answer


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    links = [urldefrag(link)[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_students_read_it(running: Server, contents: dict[str, bytes]) -> None:
    """Each page of the archive, its pictures and its search, with the right type."""
    student = running.student()
    assert student.ask("GET", "/manual").headers["Location"].endswith("/manual/")
    first = student.ask("GET", "/manual/")
    assert (first.status_code, first.content) == (200, contents["index.html"])
    types = {".html": "text/html", ".css": "text/css", ".png": "image/png", ".svg": "image/svg+xml"}
    for name, content in contents.items():
        page = student.ask("GET", f"/manual/{name}")
        assert (page.status_code, page.content) == (200, content), name
        assert page.headers["Content-Type"].startswith(types.get(Path(name).suffix, "")), name
        assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["nothing.html", "../etc/passwd", "..%2f..%2fetc/passwd", "%2fetc/passwd", "/etc/passwd", "_static/", "%00"]
)
def test_no_path_leads_out_of_it(running: Server, path: str) -> None:
    """Nor to a folder's list."""
    page = running.student().ask("GET", f"/manual/{path}")
    assert page.status_code in (302, 400, 404)
    assert "root:" not in page.text


def test_strangers_do_not_read_it_and_nobody_changes_it(running: Server, archive: Path) -> None:
    for path in ("/manual", "/manual/", "/manual/index.html", "/manual/_static/styles/furo.css"):
        page = running.client().ask("GET", path)
        assert (page.status_code, "/login?next=" in page.headers["Location"]) == (302, True)
    student = running.student()
    student.ask("GET", "/tree")
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert student.ask(method, "/manual/index.html", data="changed").status_code == 405


def test_a_server_without_it_works(venv: Path) -> None:
    """As on a Pi whose archive a power cut damaged: there is no such page, and that is all."""
    place = venv / "damaged.zip"
    with server(venv, manual_archive=place) as one:
        student = one.student()
        assert student.ask("GET", "/manual/").status_code == 404
        place.write_bytes(b"half of it")
        place.chmod(0o644)
        assert student.ask("GET", "/manual/").status_code == 404
        assert student.get("/api/contents")["type"] == "directory"
