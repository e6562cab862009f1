"""The labels, in a browser as they are printed."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from ansible_collections.mynn.pi.plugins.filter.students import classroom_students
from mynn_control import labels
from mynn_control.desk.database import Database
from tests.support.browser import decoded

LONG = "a-name-as-long-as-names-can-be-" * 2 + "x.local"
# In mm, as on the packages of such sheets: page, label, the first label's left and top edge, and the horizontal pitch.
PAPERS = {
    "A4": ((210, 297), (99.1, 38.1), (4.7, 15.15), 101.6),
    "Letter": ((215.9, 279.4), (101.6, 33.87), (3.97, 21.17), 106.4),
}
# Returns the boxes of all labels in mm from their page's corner, and how far each label's text is from its edge.
BOXES = """articles => articles.map(article => {
  const mm = 96 / 25.4, label = article.getBoundingClientRect();
  const page = article.parentElement.getBoundingClientRect();
  const inner = [...article.querySelectorAll("img, span, dt")].map(element => element.getBoundingClientRect());
  const clear = inner.map(box => Math.min(box.left - label.left, box.top - label.top,
                                          label.right - box.right, label.bottom - box.bottom) / mm);
  const box = [label.left - page.left, label.top - page.top, label.width, label.height];
  return [...box.map(px => px / mm), Math.min(...clear)];
})"""


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, *pis: tuple[str, str], **settings: Any) -> None:
    """Write the sheets of these Pis, each with its name and its model. settings: of their students."""
    content = []
    for name, model in pis:
        students = settings.get("students", ["student"])
        made = classroom_students(students, name, name, 8888, settings.get("https", False), str(folder))
        content.append({"name": name, "model": model, "students": made, "password": ""})
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(content)))
    labels.main(folder, folder / "desk")


@pytest.mark.slow
def test_thirty_labels_on_both_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser_page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    """There are 14 to a page, none is cropped, even with the longest names, and each has its Pi's code."""
    pis = [(f"pi{number:02}.local", ["Pi Zero", "", "Pi Zero 2 W"][number % 3]) for number in range(1, 30)]
    pis.append((LONG, "Pi Zero 2 W"))
    for number, (name, _) in enumerate(pis):
        (tmp_path / name).write_text(f"k7m{number:02}rqtw3\n")
    pupils = {(name, "student"): "" if number % 5 == 1 else f"Ada {number}" for number, (name, _) in enumerate(pis)}
    pupils[LONG, "student"] = "Wilhelmina " * 5
    Database(tmp_path / "desk/memory.sqlite").save_names(pupils)
    write(tmp_path, monkeypatch, *pis)
    output = capsys.readouterr().out
    assert "Ada" not in output
    assert "rqtw3" not in output
    for paper, (size, label, place, pitch) in PAPERS.items():
        sheet = tmp_path / f"labels-{paper}.html"
        assert f"{sheet}: 30 labels on 3 sheets" in output
        assert sheet.stat().st_mode & 0o777 == 0o600
        browser_page.goto(f"file://{sheet}")
        pdf = browser_page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 3
        media = re.search(rb"/MediaBox\s*\[0 0 (\S+) (\S+)\]", pdf)
        assert media and [float(side) / 72 * 25.4 for side in media.groups()] == pytest.approx(size, abs=0.2)
        boxes = browser_page.locator("article").evaluate_all(BOXES)
        for number, (*box, clear) in enumerate(boxes):
            row, column = divmod(number % 14, 2)
            assert box == pytest.approx([place[0] + column * pitch, place[1] + row * label[1], *label], abs=0.1)
            assert clear > 2.5, pis[number]
        texts = browser_page.locator("article").all_text_contents()
        for number, (name, model) in enumerate(pis):
            pupil = pupils[name, "student"] and f"name{pupils[name, 'student']}"
            words = [name, model, f"http://{name}:8888", pupil, "password", f"k7m{number:02}rqtw3"]
            assert "".join(texts[number].split()) == "".join(words).replace(" ", "")
        for image, (name, _) in list(zip(browser_page.locator("article img").all(), pis, strict=True))[::-9]:
            assert decoded(image) == f"http://{name}:8888"


def test_each_student_has_a_label_and_a_missing_password_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser_page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pi01.local-morning").write_text("early7birds")
    (tmp_path / "pi01.local-afternoon").write_text("<b>late8owls")
    students = ["morning", "afternoon", "evening"]
    monkeypatch.setenv("MYNN_SUMMARY", "of the desk, which names no path")
    write(tmp_path, monkeypatch, ("pi01.local", ""), students=students, https=True)
    said = capsys.readouterr().out
    assert said.startswith("A4: 2 labels on 1 sheet") and "No label for evening on pi01.local: it has no pass" in said
    with pytest.raises(SystemExit, match=r"No label for student on pi02.local: it has no password yet"):
        write(tmp_path, monkeypatch, ("pi02.local", ""))
    browser_page.goto(f"file://{tmp_path}/labels-A4.html")
    assert browser_page.locator("dd").all_inner_texts() == ["pi01.local", "early7birds", "pi01.local", "<b>late8owls"]
    assert browser_page.locator(".pi").all_inner_texts() == ["morning", "afternoon"]
    assert decoded(browser_page.locator("article img").nth(1)) == "https://pi01.local:8889"
