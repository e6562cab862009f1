"""The manual: its pages agree with the sources, its archive, and the notebook server that shows it."""

import html
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest

from mynn.outline import outline
from tests.support.jupyter_server import Server, run_server
from tests.support.programs import ROOT

EXTERNAL = r"""(?:src=["']?|url\(["']?|@import ["']|<link[^>]*href=["'])(?:https?:)?//[^"')]+"""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def build(project: Path) -> Path:
    """Build the manual as `make site` does."""
    command = [sys.executable, "-m", "mynn_control.manual", str(project)]
    return Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def archive() -> Path:
    return build(ROOT)


@pytest.fixture(scope="module")
def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.slow
def test_no_link_is_broken_and_nothing_is_loaded_from_elsewhere(archive: Path, contents: dict[str, bytes]) -> None:
    """A Pi has no Internet connection. Links that leave the manual are not followed. It is small enough for Wi-Fi."""
    pages = {name: content.decode() for name, content in contents.items() if name.endswith((".html", ".css"))}
    assert len(pages) > 30
    assert archive.stat().st_size < 2_000_000
    for name, page in pages.items():
        assert re.findall(EXTERNAL, page) == [] and str(ROOT) not in page, name
        for link in re.findall(r'<\w[^>]* (?:href|src)="([^"]+)"', page):
            path, part = urldefrag(urljoin(f"https://manual/{name}", html.unescape(link)))
            target = path.removeprefix("https://manual/").partition("?")[0]
            if path.startswith("https://manual/"):
                assert target in contents, f"{name}: {link}"
                assert not part or not target.endswith(".html") or f' id="{part}"' in pages[target], f"{name}: {link}"


def test_commands_and_lessons_named_on_the_pages_exist() -> None:
    commands = re.findall(r"(?m)^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    known = {name for names in commands for name in names.split()}
    lessons = outline(ROOT / "notebooks")
    titles = tuple(lesson.title for lesson in lessons.values())
    page_try = (ROOT / "mynn_server/page/try/index.html").read_text(encoding="utf-8")
    [lesson_0] = re.findall("<title>(.*)</title>", page_try)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?m)(?:`|^ *)make ([a-z-]+)", text)) <= known, page
        assert set(re.findall(r"`(part\d\w+)`", text)) <= lessons.keys(), page
        for named in re.findall(r"Lesson \d+: .*", " ".join(text.split()).replace("Lesson", "\nLesson")):
            assert named.startswith((lesson_0, *titles)), f"{page}: {named:.60}"
    answers = (ROOT / "docs/teach/task-answers.md").read_text(encoding="utf-8")
    assert [title for title in titles if title not in answers] == []
    readme = PAGES[0].read_text(encoding="utf-8")
    links = [urldefrag(link)[0] for link in re.findall(r"\]\(([^)]+)\)", readme)]
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_a_pi_has_the_worksheets_but_no_answers(contents: dict[str, bytes]) -> None:
    assert {f"teach/worksheet-{number}.html" for number in range(10)} <= contents.keys()
    for name in ("answers", "task-answers", "test", "plan", "marking"):
        assert (ROOT / f"docs/teach/{name}.md").exists()
        assert f"teach/{name}.html" not in contents
    for page, word in (("settings", b"jupyter_https"), ("mynn", b"mynn-experiment-sweep"), ("api", b".backquery")):
        assert word in contents[f"reference/{page}.html"], "it is taken from the sources"
    assert b"0.01 each" not in b"".join(contents.values())  # words from an answer


@pytest.fixture
def server(venv: Path) -> Iterator[Server]:
    """A notebook server without the manual yet, run by an account that cannot read this repository."""
    with run_server(venv, manual_archive=venv / "manual.zip") as running:
        yield running


@pytest.mark.slow
def test_students_who_signed_in_can_read_it_and_nothing_else(
    server: Server, venv: Path, archive: Path, contents: dict[str, bytes]
) -> None:
    """Each file in the archive has the right type; nothing can be written, and no folder listed.

    Without it, or with a damaged one, as after a power cut, everything else works.
    """
    student, place = server.student(), venv / "manual.zip"
    for content in (None, b"half of it"):
        if content:
            place.write_bytes(content)
            place.chmod(0o644)
        assert student.ask("GET", "/manual/").status_code == 404
        assert student.get("/api/contents")["type"] == "directory"
    shutil.copyfile(archive, place)
    assert student.ask("GET", "/manual").headers["Location"].endswith("/manual/")
    types = {".html": "text/html", ".css": "text/css", ".png": "image/png", ".svg": "image/svg+xml"}
    for name, content in {"": contents["index.html"], **contents}.items():
        page = student.ask("GET", f"/manual/{name}")
        assert (page.status_code, page.content) == (200, content), name
        assert page.headers["Content-Type"].startswith(types.get(Path(name).suffix, "")), name
        assert page.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("../etc/passwd", "..%2f..%2fetc/passwd", "%2fetc/passwd", "/etc/passwd", "_static/", "%00", "no.html"):
        page = student.ask("GET", f"/manual/{path}")
        assert page.status_code in (302, 400, 404) and "root:" not in page.text, path
    student.ask("GET", "/tree")
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert student.ask(method, "/manual/index.html", data="changed").status_code == 405
    for path in ("/manual", "/manual/index.html", "/manual/_static/styles/furo.css"):
        page = server.client().ask("GET", path)
        assert (page.status_code, "/login?next=" in page.headers["Location"]) == (302, True)
