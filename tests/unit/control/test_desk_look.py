"""The desk's pages about a pupil's lesson and about a task: what pupils wrote is shown, and does nothing."""

import base64
import io
import json
import os
import pwd
import re
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import Page, expect

from mynn.tasks import Answer, Record
from mynn_control.desk import look, notebook_html, record
from mynn_control.desk.database import Database
from mynn_server.look import shortened
from tests.support.browser import assert_accessible
from tests.support.desk import open_desk
from tests.support.programs import ROOT
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
<a href="{evil}/12">away</a> harmless
<p style="background: url({evil}/13); position: fixed">styled</p><a href="data:text/html,<script>1</script>">page</a>
<math href="{evil}/14"><mtext href="javascript:1">formula</mtext>
<annotation-xml encoding="text/html"><img src="{evil}/15"></annotation-xml></math>
<svg xmlns="http://www.w3.org/2000/svg"><a href="{evil}/16"><text y="9">drawn</text></a>
<style>@import "{evil}/17"</style><foreignObject><img src="{evil}/18"/></foreignObject></svg>"""


def png(picture: Image.Image) -> str:
    with io.BytesIO() as file:
        picture.save(file, format="png")
        return base64.b64encode(file.getvalue()).decode()


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
    huge = Image.new("1", (8000, 5000))
    cells += [code | {"source": "huge", "outputs": [data("image/png", png(huge)), data("text/html", "<div>" * 10_000)]}]
    cells += [code | {"source": ["grey = 2\n", "check(grey, 3)"], "outputs": []}]
    return json.dumps({"cells": cells, "metadata": {"title": hostile}, "nbformat": 4, "nbformat_minor": 5})


PICTURE = f'<img alt="" src="data:image/png;base64,{png(Image.new("1", (9, 9)))}">'
NO_PICTURE = "<em>[This picture cannot be shown here.]</em>"


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (PICTURE, PICTURE),
        (f'<img src="data:image/png;base64,{png(Image.new("1", (8000, 5000)))}">', NO_PICTURE),
        ('<img alt="><b>" src="data:text/html;base64,AAAA">', NO_PICTURE),
        ('<img src="data:image/png;base64,AAAA">', NO_PICTURE),
        ("<img src=//evil.test/1>", NO_PICTURE),
        ("<style>p { color: red }</style><p class=note id=x onclick=x>a</p>", "<p>a</p>"),
        (
            '<p style="color:red;position:fixed;background-color:url(x);width:calc(1px)">a</p>',
            '<p style="color:red">a</p>',
        ),
        ("<form><input><button>a</button></form><iframe src=x></iframe><base href=x>", "a"),
        ('<a href="javascript:1">a</a><a href="data:text/html,1">b</a>', "<a>a</a><a>b</a>"),
        ('<a href="https://a.test/?b&c">a</a>', '<a title="https://a.test/?b&amp;c">a</a>'),
        ('<math href="x"><mi xlink:href="x">a</mi></math>', "<math><mi>a</mi></math>"),
        ("<math><mtext><script>1</script></mtext></math>", "<math><mtext></mtext></math>"),
        ('<span class="k note">def</span>', '<span class="k">def</span>'),
        ("</div></section><table><tr><td>a", "<table><tbody><tr><td>a</td></tr></tbody></table>"),
    ],
)
def test_of_html_is_left_what_is_harmless(written: str, left: str) -> None:
    assert notebook_html.safe(written) == left


def test_an_svg_is_a_picture_with_nothing_but_shapes() -> None:
    svg = """<svg onload="1" viewBox="0 0 9 9"><script>1</script><style>@import "x"</style><g id="a" filter="url(#x)">
      <path id="b" d="M0 0" fill="url(//evil.test)" stroke="url(#c)"/><use xlink:href="#b"/><use href="//evil.test#b"/>
      <image href="//evil.test/1"/><a href="x"><text>&nbsp;é</text></a></g><foreignObject>x</foreignObject></svg>"""
    [source] = re.findall('src="data:image/svg[+]xml;base64,(.*?)"', notebook_html.safe(svg))
    [root] = ElementTree.fromstring(base64.b64decode(source))  # it is XML
    shapes = [(one.tag.rpartition("}")[2], one.attrib) for one in root]
    path = {"id": "b", "d": "M0 0", "stroke": "url(#c)"}
    assert shapes == [("path", path), ("use", {"href": "#b"}), ("use", {}), ("image", {}), ("text", {})]
    clips = '<svg><clipPath id="a"><path clip-path="url(#b)"/><path clip-path="url(#b)"/></clipPath></svg>'
    assert notebook_html.safe(clips) == NO_PICTURE


def test_a_plot_of_matplotlibs_in_svg_keeps_its_texts_and_curves() -> None:
    figure = Figure()
    figure.subplots().plot([1, 3, 2], marker="o")
    with io.StringIO() as file:
        figure.savefig(file, format="svg")
        svg = file.getvalue()
    [source] = re.findall('base64,(.*?)"', notebook_html.show("image/svg+xml", svg))
    drawn = base64.b64decode(source).decode()
    assert [drawn.count(f"<{name}") for name in ("path", "use")] == [svg.count(f"<{name}") for name in ("path", "use")]


def test_a_notebook_of_50_mb_is_not_read(tmp_path: Path) -> None:
    at = tmp_path / "2026-11-26_10-00-00/pi-01"
    (at / ME).mkdir(parents=True)
    (at / "SHA256SUMS").touch()
    file = at / ME / "large.ipynb"
    file.write_text('{"cells": []}')
    assert look.collected(tmp_path, "pi-01", ME, "large.ipynb")[0] == "[]"
    os.truncate(file, 50_000_000)
    assert look.collected(tmp_path, "pi-01", ME, "large.ipynb")[0] is None


@pytest.mark.slow
def test_a_lesson_in_a_look_is_accessible(browser_page: Page) -> None:
    lesson = json.loads((ROOT / "notebooks/part3_wrong_derivative.ipynb").read_bytes())
    lesson["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stderr", "text": "\N{NO-BREAK SPACE}" * 300}]
    browser_page.set_content(notebook_html.html(shortened(json.dumps(lesson).encode()) or "", "A note."))
    assert_accessible(browser_page)


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
        expect(shown.get_by_text("[This picture cannot be shown here.]")).not_to_have_count(0)
        away = shown.get_by_text("away").first
        for press in (away.click, partial(away.click, modifiers=["Control"]), partial(away.click, button="middle")):
            press()
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
    assert len(page.context.pages) == 1
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.accept()
