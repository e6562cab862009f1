"""labels.yml: the sheets are rendered as printed, and their QR codes are read."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
import zxingcpp

from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import ANSIBLE, ROOT, Classroom, recap

MM = 72 / 25.4  # points
DPI = 200
# Dimensions of the label sheets in mm: page, label, left and top edge of the first label, horizontal pitch.
PAPER = {
    "A4": ((210, 297), (99.1, 38.1), (4.7, 15.15), 101.6),
    "Letter": ((215.9, 279.4), (101.6, 33.87), (3.97, 21.17), 106.4),
}


@dataclass(frozen=True)
class School:
    """An inventory and passwords of Pis that do not exist: labels.yml connects to none."""

    folder: Path

    def add(self, *lines: str, **passwords: str) -> None:
        with (self.folder / "inventory.ini").open("a", encoding="utf-8") as inventory:
            inventory.write("\n".join(("[pis]", *lines)) + "\n")
        (self.folder / "passwords").mkdir(exist_ok=True)
        for name, password in passwords.items():
            (self.folder / "passwords" / name).write_text(password + "\n", encoding="utf-8")

    def labels(self, *extra: str) -> subprocess.CompletedProcess[str]:
        command = [str(ANSIBLE), "-i", f"{self.folder}/inventory.ini", str(ROOT / "playbooks/labels.yml"), *extra]
        command += ["-e", f"jupyter_passwords={self.folder}/passwords", "-e", f"labels_folder={self.folder}/labels"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        print(done.stdout[-5000:], done.stderr[-2000:])
        return done

    def sheet(self, paper: str) -> Path:
        return self.folder / f"labels/labels-{paper}.pdf"


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a run in one line."""
    return " ".join(done.stdout.split())


def codes(path: Path) -> list[list[str]]:
    """Return the contents of the QR codes on each rendered page."""
    pages = pypdfium2.PdfDocument(path)
    return [[code.text for code in zxingcpp.read_barcodes(page.render(scale=DPI / 72).to_pil())] for page in pages]


def texts(path: Path) -> str:
    """Return the text of all pages."""
    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(path))


def keep_picture(sheet: Path, name: str = "labels") -> None:
    """Save the first page as a picture, with the browser's screenshots."""
    folder = ROOT / "dist/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    pypdfium2.PdfDocument(sheet)[0].render(scale=1.5).to_pil().save(folder / f"{name}.png")


def ink_in_margins(path: Path, paper: str, margin: float = 2.5) -> list[tuple[int, int]]:
    """Return the page and place of each label that is printed within a margin in mm, apart from its border."""
    size, (width, height), (left, top), pitch = PAPER[paper]
    line = 0.4
    found = []
    for number, page in enumerate(pypdfium2.PdfDocument(path)):
        assert page.get_size() == pytest.approx([side * MM for side in size], abs=0.1)
        grey = np.asarray(page.render(scale=DPI / 72, grayscale=True).to_numpy()).squeeze()
        for place in range(14):
            x, y = left + place % 2 * pitch, top + place // 2 * height
            box = [x + line, y + line, x + width - line, y + height - line]
            x0, y0, x1, y1 = (round(mm / 25.4 * DPI) for mm in box)
            label = grey[y0:y1, x0:x1].copy()
            inner = round((margin - line) / 25.4 * DPI)
            label[inner:-inner, inner:-inner] = 255
            if label.min() < 250:
                found.append((number, place))
    return found


def test_thirty_labels_on_both_papers(school: School) -> None:
    """There are 14 to a page, none is cropped, and each code has its Pi's URL, even with the longest host names."""
    long = "a-name-as-long-as-names-can-be-" * 2 + "x.local"
    names = [*(f"pi{number:02}.local" for number in range(1, 29)), long]
    hosts = [*names, "pi30 ansible_host=192.168.1.52"]
    school.add(*hosts, **{name: f"k7m{n}rqtw3" for n, name in enumerate([*names, "pi30"])})
    done = school.labels()
    assert done.returncode == 0
    wanted = [f"http://{name}:8888" for name in names] + ["http://192.168.1.52:8888"]
    for paper in PAPER:
        sheet = school.sheet(paper)
        assert sheet.stat().st_mode & 0o777 == 0o600
        found = codes(sheet)
        assert [len(page) for page in found] == [14, 14, 2]
        assert sorted(code for page in found for code in page) == sorted(wanted)
        assert ink_in_margins(sheet, paper) == []
        written = texts(sheet).split()
        for number, (name, url) in enumerate(zip([*names, "pi30"], wanted, strict=True)):
            assert {name, url, "student", f"k7m{number}rqtw3"} <= set(written)
        assert f"{sheet}: 30 labels on 3 sheets" in one_line(done)
    keep_picture(school.sheet("A4"))
    assert "rqtw3" not in done.stdout
    # The check of the margins must fail if the labels are shifted by 3 mm.
    moved = pypdfium2.PdfDocument(school.sheet("A4"))
    moved[0].set_mediabox(3 * MM, 0, 213 * MM, 297 * MM)
    moved.save(school.folder / "moved.pdf")
    assert (0, 0) in ink_in_margins(school.folder / "moved.pdf", "A4")


def test_a_label_says_which_kind_of_pi_it_is_for(school: School) -> None:
    """If the inventory says so; it takes no room from names otherwise."""
    long = "a-name-as-long-as-names-can-be-" * 2 + "x.local"
    pis = [*(f"pi{number:02}.local" for number in range(1, 14)), long]
    boards = ["board=zero"] * 5 + ["board=zero2w"] * 4 + ["board=4"] * 3 + ["", "board=5"]
    school.add(*map(" ".join, zip(pis, boards, strict=True)), **dict.fromkeys(pis, "k7mrqtw3"))
    assert school.labels().returncode == 0
    for paper in PAPER:
        sheet = school.sheet(paper)
        written = texts(sheet)
        counts = [len(re.findall(rf"{model}\s", written)) for model in ("Pi Zero", "Pi Zero 2 W", "Pi 4", "Pi 5")]
        assert counts == [5 + 4, 4, 3, 1]
        assert len(codes(sheet)[0]) == 14
        assert ink_in_margins(sheet, paper) == []
    keep_picture(school.sheet("A4"), "labels-kinds")


def test_https_and_several_students(school: School) -> None:
    """Each student gets a label with the address of their own server."""
    school.add("pi01.local", **{"pi01.local-morning": "early7birds", "pi01.local-afternoon": "late8owls"})
    students = '{"jupyter_https": true, "students": ["morning", "afternoon"]}'
    assert school.labels("-e", students).returncode == 0
    assert sorted(codes(school.sheet("A4"))[0]) == ["https://pi01.local:8888", "https://pi01.local:8889"]
    written = texts(school.sheet("A4")).split()
    assert {"morning", "early7birds", "afternoon", "late8owls"} <= set(written)


def test_a_missing_password_is_named_and_the_others_are_printed(school: School) -> None:
    school.add("pi01.local", "pi02.local", **{"pi01.local": "k7mrqtw3"})
    done = school.labels()
    assert done.returncode == 0
    passwords = school.folder / "passwords"
    assert f"No label for student on pi02.local: {passwords}/pi02.local holds no password yet." in one_line(done)
    assert codes(school.sheet("Letter")) == [["http://pi01.local:8888"]]
    assert sorted(path.name for path in passwords.iterdir()) == ["pi01.local"]  # none was generated


def test_no_password_at_all_is_an_error(school: School) -> None:
    school.add("pi01.local")
    done = school.labels()
    assert done.returncode != 0
    assert "No label for student on pi01.local" in one_line(done)
    assert not school.sheet("A4").exists()


def test_a_student_can_sign_in_with_a_label(classroom: Classroom) -> None:
    """The printed QR code and password are enough."""
    done = classroom.playbook("labels")
    assert done.returncode == 0
    assert recap(done.stdout)[classroom.host].changed == 0
    sheet = ROOT / "dist/labels/labels-A4.pdf"
    [[url]] = codes(sheet)
    password = texts(sheet).split("password")[1].split()[0]
    assert NotebookServer(url).sign_in(password)
