"""The manual: its pages agree with the sources, its archive, and the notebook server that shows it."""

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

from tests.support.jupyter_server import Server, run_server
from tests.support.programs import ROOT

BUILD = ROOT / "roles/manual/files/build.py"
EXTERNAL = r"""(?:src=["']?|url\(["']?|@import ["']|<link[^>]*href=["'])(?:https?:)?//[^"')]+"""
LARGEST = 2_000_000  # bytes: small enough for a card and for a class's Wi-Fi
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Links(HTMLParser):
    """The links of a page, and the names in it that links can point to."""

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
def server(venv: Path, archive: Path) -> Iterator[Server]:
    """A notebook server with the manual, run by an account that cannot read this repository."""
    place = venv / "manual.zip"
    shutil.copy(archive, place)
    place.chmod(0o644)
    with run_server(venv, manual_archive=place) as running:
        yield running


def test_no_link_is_broken(contents: dict[str, bytes]) -> None:
    """Including the theme's links and those to headings. Links that leave the manual are not followed."""
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
    """Neither fonts nor scripts: a Pi has no Internet connection."""
    for name, content in contents.items():
        if name.endswith((".html", ".css")):
            text = content.decode()
            assert re.findall(EXTERNAL, text) == [], name


def test_it_is_small_and_names_no_folder_of_this_computer(archive: Path, contents: dict[str, bytes]) -> None:
    assert archive.stat().st_size < LARGEST
    for name, content in contents.items():
        assert str(ROOT).encode() not in content, name


@pytest.mark.slow
def test_it_is_built_only_when_its_sources_have_changed(archive: Path, tmp_path: Path) -> None:
    """The same sources give the same bytes, so that the archive is not sent to each Pi again."""
    before = archive.stat()
    subprocess.run([sys.executable, BUILD, ROOT], stdout=subprocess.PIPE, check=True)
    assert archive.stat().st_mtime_ns == before.st_mtime_ns

    copy = tmp_path / "a copy"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "dist", "tests", "files", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    rebuilt = copy / "build/manual.zip"
    subprocess.run([sys.executable, BUILD, copy], stdout=subprocess.PIPE, check=True)
    assert rebuilt.read_bytes() == archive.read_bytes()

    page = copy / "docs/teach/lessons.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\nOne more sentence.\n", encoding="utf-8")
    subprocess.run([sys.executable, BUILD, copy], stdout=subprocess.PIPE, check=True)
    with zipfile.ZipFile(rebuilt) as opened:
        assert b"One more sentence." in opened.read("teach/lessons.html")


def test_the_reference_has_the_settings_commands_and_classes_of_the_sources(contents: dict[str, bytes]) -> None:
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


def test_commands_and_lessons_named_on_the_pages_exist() -> None:
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
    """With what each notebook says about itself."""
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


def test_a_pi_has_the_worksheets_but_no_answers(contents: dict[str, bytes]) -> None:
    assert {f"teach/worksheet-{number}.html" for number in range(1, 10)} <= contents.keys()
    for name in ("answers", "task-answers", "test", "plan", "marking"):
        assert (ROOT / f"docs/teach/{name}.md").exists()
        assert f"teach/{name}.html" not in contents
    assert b"0.01 each" not in b"".join(contents.values())  # words from an answer


def test_the_readme_is_short_and_has_no_broken_links() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    links = [urldefrag(link)[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_students_can_read_it(server: Server, contents: dict[str, bytes]) -> None:
    """Each file in the archive, pictures and search included, has the right type."""
    student = server.student()
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
def test_no_path_leads_out_of_it(server: Server, path: str) -> None:
    """No folder is listed either."""
    page = server.student().ask("GET", f"/manual/{path}")
    assert page.status_code in (302, 400, 404)
    assert "root:" not in page.text


def test_it_is_read_only_and_only_after_signing_in(server: Server, archive: Path) -> None:
    for path in ("/manual", "/manual/", "/manual/index.html", "/manual/_static/styles/furo.css"):
        page = server.client().ask("GET", path)
        assert (page.status_code, "/login?next=" in page.headers["Location"]) == (302, True)
    student = server.student()
    student.ask("GET", "/tree")
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert student.ask(method, "/manual/index.html", data="changed").status_code == 405


def test_a_server_without_it_works(venv: Path) -> None:
    """The same with a damaged archive, as after a power cut: its pages are missing, and everything else works."""
    place = venv / "damaged.zip"
    with run_server(venv, manual_archive=place) as running:
        student = running.student()
        assert student.ask("GET", "/manual/").status_code == 404
        place.write_bytes(b"half of it")
        place.chmod(0o644)
        assert student.ask("GET", "/manual/").status_code == 404
        assert student.get("/api/contents")["type"] == "directory"
