"""Lines to pupils and calls for help, on the desk. How a pupil meets them: tests/unit/mynn_server/test_browser.py."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from mynn_server.talk import talk
from tests.support.browser import assert_accessible
from tests.support.desk import ServedDesk, served
from tests.support.pupil import PHONE
from tests.unit.control.test_desk_class import program, said

NAMES = {("pi1", "student"): "Ada", ("pi2", "student"): "Zoë", ("pi3", "student"): "Finn"}
HOSTILE = "<img src=x onerror=document.title=1>"


class Pis:
    """Three Pis with a lesson open, and the files of their pupils."""

    def __init__(self, desk: ServedDesk, folder: Path) -> None:
        self.desk, self.folder = desk, folder
        desk.desk.talk.send = self.send
        desk.desk.database.save_names(NAMES)
        for pi, _ in NAMES:
            (folder / pi).mkdir(parents=True)
            self.answer(pi)

    def send(self, pi: str, request: Mapping[str, Any]) -> bool:
        (self.folder / pi / "from_my_teacher.json").write_text(request["tell"]["student"])
        return True

    def answer(self, pi: str, **more: Any) -> None:
        self.desk.answer(pi, {"student": (said(program(), **more), None)}, place=int(pi[-1]))

    def told(self, pi: str) -> dict[str, Any]:
        return talk(self.folder / pi)

    def ask(self, pi: str, number: int) -> None:
        """Let a pupil ask for help, or take it back."""
        (self.folder / pi / "to_my_teacher.json").write_text(json.dumps({"asked": number, "path": "a.ipynb"}))
        self.answer(pi, asked=self.told(pi)["asked"], about="de/part2_mnist_data_set.ipynb")


def test_a_pupil_is_told_a_line_and_those_who_ask_for_help_come_first(tmp_path: Path, browser_page: Page) -> None:
    with served(tmp_path / "desk") as desk:
        pis, page = Pis(desk, tmp_path), browser_page
        page.set_viewport_size(PHONE)
        page.goto(desk.url)
        cards, send = page.locator("article h2 bdi"), page.get_by_role("button", name="Send")
        pis.ask("pi3", 7)
        pis.ask("pi2", 5)
        expect(cards).to_have_text(["Finn", "Zoë", "Ada"])
        expect(page.locator(".call")).to_contain_text(["Asks for help, 0 min (Lesson 1, fours)"] * 2)
        assert (pis.told("pi3")["place"], pis.told("pi2")["place"], pis.told("pi1")["place"]) == (1, 2, 0)
        expect(send).to_be_hidden()
        for name in ("Finn", "Ada"):
            page.get_by_label(f"Tick {name}").check()
        page.get_by_label("To those ticked").fill(HOSTILE)
        assert_accessible(page)
        send.click()
        expect(page.locator("article", has_text="Zoë").get_by_text(HOSTILE)).to_have_count(0)
        expect(page.get_by_text("(not read yet)")).to_have_count(2)
        expect(send).to_be_hidden()
        [line] = pis.told("pi1")["lines"]
        assert (line["text"], line["lesson"], line["task"]) == (HOSTILE, "part2_mnist_data_set", "fours")
        pis.answer("pi1", read=line["number"])
        expect(page.get_by_text("(read)")).to_have_count(1)
        page.get_by_role("button", name="Helped").first.click()
        expect(page.locator(".call")).to_have_count(1)
        assert (pis.told("pi3")["asked"], pis.told("pi2")["place"]) == (0, 1)
        pis.ask("pi2", 0)
        expect(cards).to_have_text(["Ada", "Zoë", "Finn"])
        assert page.locator("#usual option").all_text_contents() == [HOSTILE]  # kept, since it is used often


def test_a_line_is_deleted_with_the_names_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    with served(tmp_path / "desk") as desk:
        pis = Pis(desk, tmp_path)
        for body in (
            "text=Well+done",
            "to=pi1/root&text=x",
            "to=pi1/student&text=%0A",
            "to=pi1/student&text=a%E2%80%AEb",
        ):
            assert desk.ask("/line", body).status_code == 409, body
        assert desk.ask("/line", "to=pi1/student&text=Well+done&lesson=part2&task=mean").status_code == 200
        assert [line["task"] for line in pis.told("pi1")["lines"]] == ["mean"]
        pis.desk.answer("pi1", {"student": (None, None)}, lost="no route", place=1)
        pis.send("pi1", {"tell": {"student": ""}})
        pis.answer("pi1")  # flashed again: it is told once more
        assert pis.told("pi1")["lines"]
        assert desk.ask("/names/delete", "").status_code == 200
        assert pis.told("pi1")["lines"] == [] == desk.desk.database.usual_lines()
