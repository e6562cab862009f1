"""What a pupil reads from Python, in a language: from a small catalog, and English where that has nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from mynn import DataError, read_csv, translation
from mynn.explain import KINDS, MEANINGS, sentence
from mynn.lesson import check, finished, guess
from mynn.lesson.watch import Watch
from mynn.mnist import named
from mynn.network import NeuralNetwork
from mynn_control.languages import sources
from mynn_server.serve import Starting
from tests.support.programs import ROOT

Printed = pytest.CaptureFixture[str]
GERMAN: dict[str | tuple[str, str], str | tuple[str, str]] = {
    "Right.": "Richtig.",
    "Not yet: {wrong}": "Noch nicht: {wrong}",
    "{answer} is too small.": "{answer} ist zu klein.",
    "You guessed {guess}. It is {answer}.": "Du hast {guess} geraten. Es sind {answer}.",
    "**Well done: you have reached the end of this lesson.**": "**Gut gemacht: Das ist das Ende.**",
    "At best, {part} of {count} digits were recognised.": "Am besten wurden {part} von {count} Ziffern erkannt.",
    "Line {line}: {sentence}": "Zeile {line}: {sentence}",
    "The sign {0} does not go between {1} and {2}.": "Zwischen {1} und {2} passt kein {0}.",
    "a whole number": "ganze Zahl",
    "text": "Text",
    "This is {digit}. The network says {answer}.": "Das ist eine {digit}. Das Netz sagt {answer}.",
    "{reason}; set MNIST_DIR to the folder of MNIST, which `mynn mnist FOLDER` makes": "{reason}; setze MNIST_DIR",
    "no such file or directory": "keine solche Datei",
    "Your Pi is starting": "Dein Pi startet",
    ("{count} row of {columns} digits", "{count} rows of {columns} digits"): (
        "{count} Reihe zu {columns} Ziffern",
        "{count} Reihen zu {columns} Ziffern",
    ),
}


@pytest.fixture
def german(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader of German, with a catalog of some sentences, in an empty notebook folder."""
    catalog = Catalog(locale="de")
    for english, other in GERMAN.items():
        catalog.add(english, other)
    with (folder / "de.mo").open("wb") as file:
        write_mo(file, catalog)
    monkeypatch.setattr(translation, "CATALOGS", folder)
    monkeypatch.setenv(translation.VARIABLE, "de")
    translation._catalog.cache_clear()
    yield
    translation._catalog.cache_clear()


@pytest.mark.usefixtures("german")
def test_a_check_a_guess_and_the_end_of_a_lesson_are_in_the_language(capsys: Printed) -> None:
    """Numbers have its decimal comma; what Python has shown, or the lesson says, stays as it is."""
    check(7.5, 8, "Noch einer?")
    check(8, 8, why="7 und 1 sind 8.")
    many = guess("Wie viele?", 0, 20_000, "%")
    many._field = SimpleNamespace(value=30.5)
    many.beside(12_345.6)
    finished("part1", 0.938, of=range(23))
    assert capsys.readouterr().out.splitlines() == [
        "Noch nicht: 7.5 ist zu klein. Noch einer?",
        "Richtig. 7 und 1 sind 8.",
        "Wie viele?",
        "Wie viele? Du hast 30,5 % geraten. Es sind 12\N{NARROW NO-BREAK SPACE}345,6 %.",
        "**Gut gemacht: Das ist das Ende.** Am besten wurden 93,8\N{NO-BREAK SPACE}% von 23 Ziffern erkannt.",
    ]


@pytest.mark.usefixtures("german")
def test_an_error_is_explained_in_the_language() -> None:
    """In the order that it has, and with the kinds of things. A name is a name, also if a word is written like it."""
    names: dict[str, object] = {}
    for code, said in (
        ("\n'7' - 1", "Zeile 2: Zwischen Text und ganze Zahl passt kein -."),
        ("text", "Zeile 1: There is no text yet: run the cells above"),
    ):
        with pytest.raises((TypeError, NameError)) as raised:
            exec(code, names)
        assert sentence(raised.value, names).startswith(said)
    with pytest.raises(DataError, match=r"^/nowhere: keine solche Datei; setze MNIST_DIR$"):
        read_csv("/nowhere")


@pytest.mark.usefixtures("german")
def test_other_sentences_of_lessons_and_pages_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("mynn.lesson.watch.in_a_notebook", lambda: True)
    monkeypatch.setattr("mynn.lesson.watch.show_svg", lambda _picture, alt, _place: shown.append(alt))
    network = NeuralNetwork(784, 2, 10, 0.1, seed=0)
    Watch(network, 1000).digit(np.full(784, 0.01), 8)
    assert shown[0].startswith("Das ist eine 8. Das Netz sagt ")
    assert translation.ngettext("{count} row of {columns} digits", "{count} rows of {columns} digits", 2).startswith(
        "{count} Reihen"
    )
    page = Starting.page(SimpleNamespace(began=0.0)).decode()  # type: ignore[arg-type]
    assert '<html lang="de">' in page and "<h1>Dein Pi startet</h1>" in page


@pytest.mark.parametrize("code", ["", "de", "fr", "xx", "../de"])
@pytest.mark.usefixtures("german")
def test_what_has_no_translation_is_english(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(translation.VARIABLE, code)
    assert translation._("Try again.") == "Try again." and translation._("") == ""
    assert [translation.ngettext("one", "{count}", count) for count in (1, 2)] == ["one", "{count}"]
    assert (translation._("Right.") == "Richtig.") == (code == "de")


def test_numbers_are_written_as_the_language_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """English keeps what Python has written. Only English has an article before a digit: others put it themselves."""
    numbers = ["0.95", "1,234.5", "60,000", "1,234,567", "93.8%", "21 %"]
    assert [translation.in_figures(number) for number in numbers] == numbers
    assert [named(digit) for digit in (7, 8)] == ["a 7", "an 8"]
    monkeypatch.setenv(translation.VARIABLE, "fr")
    written = " | ".join(map(translation.in_figures, numbers))
    assert written.replace("\u202f", "'").replace("\u00a0", "~") == "0,95 | 1234,5 | 60'000 | 1'234'567 | 93,8~% | 21~%"
    assert [named(digit) for digit in (7, 8)] == ["7", "8"]


def test_nothing_is_loaded_for_english() -> None:
    """A Pi Zero would take its time for it."""
    code = "import json, sys; from mynn.translation import _; _('Right.'); print(json.dumps('gettext' in sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, env={}, capture_output=True, check=True)
    assert json.loads(done.stdout) is False


def test_each_explanation_of_an_error_is_in_the_catalogs() -> None:
    ids = {message.id for message in sources("mynn")}
    assert {meaning for _, meaning in MEANINGS} | {kind for kind in KINDS.values() if kind != "None"} <= ids
