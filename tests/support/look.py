"""A look at a pupil's notebook: in the desk's frame, under its policy, in a browser."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Frame, Page, Route

from mynn_control.desk.app import FRAME, NOTEBOOK
from mynn_control.desk.notebook_html import html
from mynn_server.look import shortened

LARGEST = 3_000_000  # bytes that a lesson may have in a look
PHONE, DESKTOP = {"width": 360, "height": 800}, {"width": 1280, "height": 800}
DESK = "http://desk.test/"  # nobody is asked
TAG = re.compile(r"</?[a-z][a-z0-9]*(?: [^<>]*)?/?>")
# Markdown, as it is written: headings, emphasis, links, code, formulas, tables.
RAW = re.compile(r"^#+ |\*\*\S|\]\(|`|\$|^\|[-| ]+\|$", re.M)
# Each picture of the page: can it be drawn, and how large is it in the file and on the page?
PICTURES = """async () => await Promise.all([...document.images].map(async (one) => {
  for (let inner = one; (inner = inner.parentElement); ) if (inner.tagName === "DETAILS") inner.open = true;
  return [await one.decode().then(() => true, () => false), one.naturalWidth, one.naturalHeight, one.width, one.height];
}))"""
# What is read, beside the programs: they may have tags in their texts.
TEXT = """() => {
  document.querySelectorAll("pre.code").forEach((one) => one.remove());
  return document.querySelector("main").innerText;
}"""


def looked_at(notebook: Path) -> str:
    """Return a saved notebook as the desk shows it."""
    return html(shortened(notebook.read_bytes()) or "", "")


def look_at(page: Page, content: str) -> Frame:
    """Open a notebook's HTML as the desk does; return the frame. No request leaves it."""
    answers = {
        DESK: ("<!doctype html><iframe sandbox src='/look' width=\"100%\" height=700>", FRAME),
        f"{DESK}look": (content, NOTEBOOK),
    }
    asked = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        body, policy = answers.get(route.request.url, ("", {}))
        route.fulfill(body=body, headers={**policy, "Content-Type": "text/html; charset=utf-8"})

    page.route("**/*", answer)
    page.goto(DESK)
    page.wait_for_load_state("networkidle")
    page.unroute("**/*")
    assert asked == list(answers)
    return page.frames[1]


def assert_is_shown(notebook: Mapping[str, Any], page: Page) -> None:
    """Assert that a lesson that has run is shown as a notebook page shows it."""
    text = shortened(json.dumps(notebook).encode())
    assert text and "left_out" not in text
    content = html(text, "")
    assert len(content.encode()) <= LARGEST
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    frame = look_at(page, content)
    outputs = [one["data"] for cell in notebook["cells"] for one in cell.get("outputs", []) if "data" in one]
    pictures = frame.evaluate(PICTURES)
    assert len(pictures) == sum("".join(one.get("text/html", "")).count("<img") for one in outputs)
    for is_drawn, *sizes in pictures:
        there, there_high, wide, high = sizes
        assert is_drawn and min(sizes) > 0, sizes
        assert abs(wide / there - high / there_high) < 2 / min(there, there_high), sizes
    assert frame.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert frame.locator(".code span[class]").count() > 20
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    headings = re.findall(r"^(#+) ", "\n".join(texts), re.M)
    assert frame.locator("h1, h2, h3, h4").count() == len(headings)
    assert frame.locator("section > div details").count() == "".join(texts).count("<details>")
    assert bool(frame.locator("math").count()) == ("$" in "".join(texts))
    said = frame.evaluate(TEXT)
    assert TAG.findall(said) == [] and RAW.findall(said) == []
