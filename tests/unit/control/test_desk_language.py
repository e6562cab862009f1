"""The desk, the wall and the labels in the class's language."""

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from mynn.tasks import Answer, Finished, Record
from mynn.words import LANGUAGES, VARIABLE
from mynn_control import labels, languages, render, words
from mynn_control.desk import doors, pis, tasks
from mynn_control.desk.asking import NOT_SET_UP, WANTED, Answers
from mynn_control.desk.memory import Memory
from mynn_control.desk.pages import AskPasswordError, Desk
from mynn_control.desk.runs import Pis, Run
from mynn_control.find import Proposal
from mynn_control.page_words import SAYING
from mynn_control.render import marked
from tests.support.programs import ROOT
from tests.support.words import pseudo as pseudo_catalog
from tests.unit.control.test_desk_class import program, said
from tests.unit.control.test_desk_pis import NOW, state
from tests.unit.control.test_desk_wall import digits, text

LESSON = "part2_mnist_data_set"
# What is the same in each language: names of people, Pis, files, folders, tasks, systems; addresses; what SSH says.
SAME = {"ada", "bo", "zoe", "pi", "raspberry", "zero", "debian", "gnu", "linux", "armv", "local", "http", "png"}
SAME |= {"fours", "mean", "worksheets", "test", "set", "class", "digits", "csv", "permission", "denied"}


@pytest.fixture
def pseudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes a language of sentences between ⟦ and ⟧, or of these."""

    def make(**others: str) -> None:
        (tmp_path / "catalogs").mkdir()
        (tmp_path / "catalogs/de.mo").write_bytes(languages.compiled(pseudo_catalog("desk", **others)))
        monkeypatch.setattr(words, "CATALOGS", tmp_path / "catalogs")

    monkeypatch.setenv(VARIABLE, "de")
    return make


def english(page: str, known: set[str]) -> list[str]:
    """Return the words of a page that are in no translated sentence."""
    soup = BeautifulSoup(page, "html.parser")
    for unread in soup(["code", "pre", "textarea"]):
        unread.clear()
    said = "\n".join([soup.get_text("\n"), *(str(tag[name]) for tag in soup(True) for name in SAYING if tag.get(name))])
    while said != (outside := re.sub(r"⟦[^⟦⟧]*⟧", "", said)):  # some stand in others
        said = outside
    assert not set("⟦⟧") & set(outside)
    return [word for word in re.findall(r"[^\W\d_]{2,}", outside) if word.lower() not in known]


def desk_of(folder: Path) -> Desk:
    """Return a desk with a class in which everything is to be seen."""
    settings = folder / "playbooks/group_vars/all/settings.yml"
    settings.parent.mkdir(parents=True)
    settings.write_text("students: !vault x\n")
    settings.with_name("settings.desk.yml").write_text("language: de\njupyter_port: 8889\n")
    inventory = folder / "inventory.ini"
    inventory.write_text("[pis]\npi01.local\npi02.local\n")
    lesson = [["markdown", "# 1: 2"], ["code", "check(fours, 4)\ncheck(mean, 5)"]]
    cells = [{"cell_type": kind, "source": [source]} for kind, source in lesson]
    (folder / "notebooks").mkdir()
    (folder / f"notebooks/{LESSON}.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
    for place in ("dist/desk", "home/.ssh", "handout/worksheets", "dist/labels"):
        (folder / place).mkdir(parents=True)
    (folder / "home/.ssh/id_ed25519.pub").write_text("ssh\n")
    (folder / "dist/labels/labels-A4.html").touch()
    for pi in ("pi01.local", "pi03.local"):
        work = folder / f"dist/work/2026-11-25_14-03-20/{pi}"
        (work / "ada").mkdir(parents=True)
        (work / "SHA256SUMS").touch()
    remember(Memory(folder / "dist/desk/memory.sqlite"), folder)
    desk = Desk(Pis(inventory), folder / "dist/desk", folder / "notebooks", settings, folder / "home")
    tell(desk.answers)
    desk.update()
    found = [("found", False), ("is called", True)]
    desk.inventory.found = [
        Proposal(f"pi{n}", "", f"pi{n}", "", f"⟦{note}⟧", known, known) for n, (note, known) in enumerate(found)
    ]
    desk.answers.off = {"pi04"}
    desk.wall.take_off({"place": "pi02/bo"})
    desk.settings.saved = True
    desk.redraw()
    return desk


def tell(answers: Answers) -> None:
    """Have what the Pis answer: one is in each state."""
    quiet: dict[str, Any] = {"quiet": 30, "began": 0}
    died: dict[str, Any] = {"died": "memory", "busy": True}
    lesson = said(program(began=int(time.time()) - 300), program("x.png", **died), free=20, tasks={"fours": True})
    for number, (lost, *texts) in enumerate(
        [
            ("", lesson, said(program(**quiet))),
            ("", said(), ""),
            ("", "{", said(program(**died))),
            ("1", None, None),
            ("1", None),
            ("permission denied", None),
            (NOT_SET_UP, None),
            (None, None),
        ],
        1,
    ):
        wall = {"ada": text("Ada", digits=digits(), backquery=digits().pixels, tested=1500), "bo": text("Bo")}
        students = ["ada", "bo"][: len(texts)]
        shown = {"class": {name: one for name, one in zip(students, texts, strict=True) if one is not None}}
        shown["wall"] = wall if number == 2 else {}
        addresses = dict.fromkeys(students, f"http://pi{number:02}.local:8888")
        answers.tell(f"pi{number:02}", place=number, students=addresses, shown=shown, lost=lost)


def remember(memory: Memory, folder: Path) -> None:
    """Remember how the Pis were: with no fault, with all, off, and not yet set up."""
    record = Record(
        {LESSON: Finished("2026-11-27T10:00:00", 0.81)}, {"fours": Answer(True, "4"), "mean": Answer(False, "5")}
    )
    good = state(records={"ada": json.dumps({"version": 2, "lessons": {}, "tasks": {}})}, throttled=1 << 17)
    good["records"] = {"ada": recorded(record)}
    bad = state(
        epoch=NOW + 9000, updated=NOW - 90 * 86400, reboot_required=True, failed=["1"], temperature=90, throttled=15
    )
    bad["card"] |= {"read_only": True, "errors": 3, "free": 1}
    bad["memory"]["available"] = 5
    bad["lessons"] = {name: {"missing": ["1"], "damaged": ["2"], "changed": ["3"]} for name in ("ada", "bo")}
    bare = {
        name: value for name, value in good.items() if name not in ("temperature", "throttled", "uptime", "updated")
    }
    down = bad | {"failed": [], "servers": {"ada": False, "bo": True}, "throttled": 1 << 16}
    checks: list[dict[str, Any]] = [
        {"role": "1", "name": "1", "sentence": "1", "outcome": how, "reason": "2"}
        for how in ("holds", "fails", "not asked")
    ]
    checks[0]["figures"] = {"smoke_accuracy": 0.912, "smoke_seconds": 75.0}
    verified = {"pi": "pi01", "lost": "", "checks": checks}
    rest = {"lessons": str(folder), "room": 250.0, "asked": NOW, "lost": "", "heard": NOW}
    memory.keep("pi01", **rest, state=good, verified=verified, verified_when=NOW - 86400)
    memory.keep("pi02", **rest, state=bad, verified=verified | {"checks": checks[:1]}, verified_when=NOW)
    memory.keep("pi03", **rest | {"lost": "1"}, state=bare)
    memory.keep("pi04", **rest | {"lost": "1", "heard": 0.0}, state={})
    memory.keep("pi05", **rest, state=down)
    memory.keep("pi06", **rest, state=state(versions={}))
    memory.name({("pi01", "ada"): "Zoe"})
    memory.begin(1.0, "handout", {"pi": "", "folder": "worksheets"})


def recorded(record: Record) -> str:
    """Return a pupil's file."""
    content = {"version": 2, "lessons": {name: vars(one) for name, one in record.lessons.items()}}
    return json.dumps(content | {"tasks": {name: vars(one) for name, one in record.tasks.items()}})


def test_no_sentence_of_the_desk_the_wall_or_the_labels_stays_english(
    pseudo: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pseudo()
    desk = desk_of(tmp_path)
    settings = desk.settings.known.values()  # whose names have those of the roles
    written = " ".join(f"{one.name} {one.option.get('choices')}" for one in settings)
    names = SAME | set(re.findall("[a-z]+", written.lower())) | {name.lower() for name in LANGUAGES.values()}
    runs = [None, Run("reset", {"pi": "", "passwords": "yes", "discard": "yes"}, "⟦1⟧")]
    runs += [Run("look", {"pi": pi}, "⟦1⟧", lost=[("pi01", "1", "`make site`")]) for pi in ("", "pi01")]
    runs.append(Run("site", at={"pi01": ("lost", "⟦1⟧")}))
    for run in runs:
        desk.run = run
        desk.redraw()
        found = {tab: english(desk.page(tab), names if tab == "settings" else SAME) for tab in desk._pages}
        assert not any(found.values()), found
    desk._trouble = WANTED
    desk._draw_run()
    assert english(desk._run_drawn, SAME) == []
    assert english(render.render("sign_in", {"wrong": words._(doors.WRONG)}), SAME) == []
    assert desk.table.splitlines()[0].count("⟦") == 5
    seat = {"name": "ada", "url": "http://pi01:8888", "password_file": str(tmp_path / "1")}
    about = [{"name": "pi01", "model": "Pi", "students": [seat, seat], "password": "1"}]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(about)))
    labels.main(tmp_path, tmp_path / "dist/desk")
    for paper in ("A4", "Letter"):
        assert english((tmp_path / f"labels-{paper}.html").read_text(), SAME) == []
    desk.end()


def test_what_the_desk_answers_is_in_the_language(pseudo: Callable[..., None], tmp_path: Path) -> None:
    pseudo()
    desk = desk_of(tmp_path)
    for path, given in [
        ("/names", {"x/y": ""}),
        ("/names", {"pi01/ada": "="}),
        ("/run/handout", {"folder": "x"}),
        ("/run/reset", {}),
        ("/pis/add", {}),
        ("/pis/add_named", {"name": "all"}),
        ("/pis/remove", {"pi": "pi09"}),
        ("/settings/save", {"version": ""}),
        ("/password", {"password": "\n"}),
    ]:
        said = desk.forms[path](given)
        assert "⟦" in said and english(said, SAME) == [], path
    with pytest.raises(AskPasswordError) as asked:
        desk.start("adopt", {"pi": ""})
    assert english(str(asked.value), SAME) == []


def test_dates_numbers_and_buttons_are_the_languages_own(pseudo: Callable[..., None]) -> None:
    sentences = {"%-d %B %Y, %H:%M": "%d.%m.%Y, %H:%M", "%-d %b": "%-d.%-m.", "Set up": "Einrichten"}
    pseudo(**sentences, **{"{count} GB": "{count} GB", "{seconds} s": "{seconds} s"})
    assert pis.day(time.mktime((2026, 11, 9, 8, 5, 0, 0, 0, -1))) == "09.11.2026, 08:05"
    assert tasks.date("2026-11-09T08:05:00") == "9.11."
    assert (pis.size(1500), pis.duration(2.34)) == ("1,5 GB", "2,3 s")
    assert marked("Press\N{NO-BREAK SPACE}: `make site`.") == "Press\N{NO-BREAK SPACE}: <em>Einrichten</em>."


def test_what_a_pi_says_is_no_html_in_a_sentence_either() -> None:
    assert render.gettext("<b>%(pi)s</b>", pi="a\x1b<i>") == r"<b>a\x1b&lt;i&gt;</b>"


def test_results_name_the_desks_buttons_in_place_of_commands() -> None:
    worded = ["plugins/callback/failures.yml", "plugins/action/student_work.py", "mynn_control/faults.py"]
    paths = [*map(ROOT.joinpath, worded), *ROOT.glob("plugins/modules/*.py"), *ROOT.glob("roles/s*/tasks/*.yml")]
    commands = {one for path in paths for one in re.findall(r"`make [a-z][^`]*`", path.read_text(encoding="utf-8"))}
    assert len(commands) > 5
    assert {one for one in commands if "<em>" not in marked(one)} == set()


def test_the_desk_follows_the_setting(pseudo: Callable[..., None], tmp_path: Path) -> None:
    """That of most Pis; a Pi may have its own."""
    pseudo()
    desk = desk_of(tmp_path)
    assert '<html lang="de"' in desk.page("class") and "⟦The class now" in desk.page("class")
    version = re.findall('name="version" value="(.*?)"', desk.page("settings"))[0]
    desk.run = None
    assert desk.forms["/settings/save"]({"version": version, "language": "en"}) == ""
    assert '<html lang="en"' in desk.page("class") and "⟦" not in desk.page("class")
    desk.of.inventory.write_text("[pis]\npi01 language=de\npi02 language=de\npi03\n")
    desk.redraw()
    assert '<html lang="de"' in desk.page("class")
