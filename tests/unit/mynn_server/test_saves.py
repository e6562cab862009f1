"""No order in which pages open and save one file loses what any of them has saved."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tornado.web import HTTPError

from mynn_server.contents import Contents

PAGES = st.integers(0, 2)


class Page:
    """What page/keep.js does; and of which versions its text is a later one."""

    def __init__(self, contents: Contents, number: int) -> None:
        self.contents, self.number = contents, number
        self.path, self.version, self.knows = "lesson.txt", None, set[str]()
        self.kept = list[tuple[dict[str, Any], str]]()  # in the browser, as the page is left: a save

    async def open(self, known: dict[str, set[str]]) -> None:
        with suppress(HTTPError):  # nobody has saved it yet
            model = await self.contents.get("lesson.txt", require_hash=True)
            self.path, self.version, self.knows = "lesson.txt", model["hash"], set(known[model["content"]])

    def leave(self, text: str, known: dict[str, set[str]]) -> None:
        self.knows.add(text)
        known[text] = set(self.knows)
        model = {"type": "file", "format": "text", "content": text, "made_from": self.version, "page": self.number}
        self.kept = [({**model, "number": text}, self.path)]

    async def send_as_it_is_left(self) -> None:
        for model, path in self.kept:
            await self.contents.save({**model}, path)

    async def bring_back(self) -> None:
        while self.kept:
            await self.contents.save(*self.kept.pop())

    async def save(self, text: str, known: dict[str, set[str]], is_heard: bool) -> None:
        self.leave(text, known)
        model, path = self.kept.pop()
        answer = await self.contents.save({**model, "number": None}, path)
        if is_heard:
            self.path, self.version = answer["path"], answer["hash"]


WAYS = ["open", "save", "lose the answer", "save at once", "leave", "leave in time"]
STEPS = st.lists(st.tuples(PAGES, st.sampled_from(WAYS)), max_size=12)


async def play(folder: Path, steps: list[tuple[int, str]]) -> None:
    contents = Contents(root_dir=str(folder))
    pages, known = [Page(contents, number) for number in range(3)], dict[str, set[str]]()
    for step, (number, what) in enumerate(steps):
        if what == "open":
            await pages[number].bring_back()
            await pages[number].open(known)
        elif what.startswith("leave"):
            pages[number].leave(str(step), known)
            if what == "leave in time":
                await pages[number].send_as_it_is_left()
        elif what == "save at once":
            await asyncio.gather(*(page.save(f"{step} {page.number}", known, True) for page in pages))
        else:
            await pages[number].save(str(step), known, what == "save")
    for page in pages:
        await page.bring_back()
    kept = [path.read_text() for path in folder.glob("*.txt")]
    assert set().union(*(known[text] for text in kept)) == known.keys()
    assert len(kept) == len({*kept}), "One save is there twice."


@settings(max_examples=50)
@given(STEPS)
def test_what_was_saved_is_kept_once_or_was_seen_by_who_replaced_it(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), steps))
