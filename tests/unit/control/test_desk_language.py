"""The desk, the wall and the labels in the class's language."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from jinja2.nodes import TemplateData

from mynn.translation import VARIABLE
from mynn_control import languages, render, translation
from mynn_control.desk import pis, tasks
from mynn_control.desk.pages import AskPasswordError, Desk
from mynn_control.desk.record import in_words
from mynn_control.desk.runs import CUT_OFF, PLAYBOOKS, Fleet, Run, again
from mynn_control.faults import faults
from mynn_control.page_messages import SAYING
from mynn_control.render import with_buttons
from tests.support.programs import ROOT
from tests.support.translation import pseudo as pseudo_catalog
from tests.unit.control.test_desk_class import CARDS, card_of
from tests.unit.control.test_desk_pis import FAULTS, NOW, state

TEMPLATES = [name for name in render.ENVIRONMENT.list_templates() if name.endswith(".j2")]
# What is the same in each language: names of people, Pis, files and systems; addresses; what SSH says.
SAME = {"ada", "part", "mnist", "data", "set", "ipynb", "pi", "raspberry", "numpy", "linux", "html", "http", "reason"}


@pytest.fixture
def pseudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes a language of sentences between ⟦ and ⟧, or of these."""

    def make(**others: str) -> None:
        (tmp_path / "catalogs").mkdir()
        (tmp_path / "catalogs/de.mo").write_bytes(languages.compiled(pseudo_catalog("desk", **others)))
        monkeypatch.setattr(translation, "CATALOGS", tmp_path / "catalogs")

    monkeypatch.setenv(VARIABLE, "de")
    return make


def english(page: str) -> list[str]:
    """Return the words of a page that are in no translated sentence."""
    soup = BeautifulSoup(page, "html.parser")
    for unread in soup(["code", "pre", "style", "textarea"]):
        unread.clear()
    said = "\n".join([soup.get_text("\n"), *(str(tag[name]) for tag in soup(True) for name in SAYING if tag.get(name))])
    while said != (outside := re.sub(r"⟦[^⟦⟧]*⟧", "", said)):  # some stand in others
        said = outside
    assert not set("⟦⟧") & set(outside)
    return [word for word in re.findall(r"[^\W\d_]{2,}", outside) if word.lower() not in SAME]


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_has_a_word_that_is_not_translated(name: str) -> None:
    """On any of its branches."""
    environment = render.ENVIRONMENT
    assert environment.loader
    source, _, _ = environment.loader.get_source(environment, name)
    assert english("".join(part.data for part in environment.parse(source).find_all(TemplateData))) == []


def test_what_the_desk_says_of_pis_and_runs_is_in_the_language(pseudo: Callable[..., None]) -> None:
    pseudo()
    cards = [card_of(**given) for given, _word, _fault in CARDS]
    said = [text for card in cards for text in (card.word, *card.faults, *(line.minutes for line in card.lines))]
    found = [one for changes, _ in FAULTS for one in faults(state(**changes), {"part2.ipynb": "5e1f"}, NOW, 250)]
    said += [text for one in found for text in (one.what, one.cure)]
    said += [Run(name, {"passwords": "yes"}).title for name in PLAYBOOKS]
    said += [again(CUT_OFF), Run("site").doing, *(in_words("pi", reason) for reason in ("sudo", "host key", "reason"))]
    assert [text for text in said if english(text)] == []


def desk_of(folder: Path) -> Desk:
    """Return a desk with one Pi, whose settings say German."""
    settings = folder / "playbooks/group_vars/all/settings.yml"
    settings.parent.mkdir(parents=True)
    settings.with_name("settings.desk.yml").write_text("language: de\n")
    (folder / "inventory.ini").write_text("[pis]\npi01.local\n")
    (folder / "dist/desk").mkdir(parents=True)
    desk = Desk(Fleet(folder / "inventory.ini"), folder / "dist/desk", settings)
    desk.answers.queue("pi01", place=1, students={"ada": "http://pi01"}, lost="")
    desk.update()
    return desk


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
        assert "⟦" in said and english(said) == [], path
    with pytest.raises(AskPasswordError) as asked:
        desk.start("adopt", {"pi": ""})
    assert english(str(asked.value)) == []
    assert desk.table.splitlines()[0].count("⟦") > 5


def test_dates_numbers_and_buttons_are_the_languages_own(pseudo: Callable[..., None]) -> None:
    sentences = {"%-d %B %Y, %H:%M": "%d.%m.%Y, %H:%M", "%-d %b": "%-d.%-m.", "Set up": "Einrichten"}
    pseudo(**sentences, **{"{count} GB": "{count} GB"})
    assert pis.day(time.mktime((2026, 11, 9, 8, 5, 0, 0, 0, -1))) == "09.11.2026, 08:05"
    assert tasks.date("2026-11-09T08:05:00") == "9.11."
    assert pis.size(1500) == "1,5 GB"
    assert with_buttons("Press\N{NO-BREAK SPACE}: `make site`.") == "Press\N{NO-BREAK SPACE}: <em>Einrichten</em>."


def test_what_a_pi_says_is_no_html_in_a_sentence_either() -> None:
    assert render.gettext("<b>%(pi)s</b>", pi="a\x1b<i>") == r"<b>a\x1b&lt;i&gt;</b>"


def test_results_name_the_desks_buttons_in_place_of_commands() -> None:
    worded = ["plugins/callback/failures.yml", "plugins/action/student_work.py", "mynn_control/faults.py"]
    paths = [*map(ROOT.joinpath, worded), *ROOT.glob("plugins/modules/*.py"), *ROOT.glob("roles/s*/tasks/*.yml")]
    commands = {one for path in paths for one in re.findall(r"`make [a-z][^`]*`", path.read_text(encoding="utf-8"))}
    assert len(commands) > 5
    assert {one for one in commands if "<em>" not in with_buttons(one)} == set()


def test_the_desk_follows_the_setting(pseudo: Callable[..., None], tmp_path: Path) -> None:
    """That of most Pis; a Pi may have its own."""
    pseudo()
    desk = desk_of(tmp_path)
    assert '<html lang="de"' in desk.page("class") and "⟦The class now" in desk.page("class")
    version = re.findall('name="version" value="(.*?)"', desk.page("settings"))[0]
    assert desk.forms["/settings/save"]({"version": version, "language": "en"}) == ""
    assert '<html lang="en"' in desk.page("class") and "⟦" not in desk.page("class")
    desk.fleet.inventory.write_text("[pis]\npi01 language=de\npi02 language=de\npi03\n")
    desk.redraw()
    assert '<html lang="de"' in desk.page("class")
