"""What is wrong with a Pi, and what to do about it, from what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ROOM = 250  # MB that the next `make site` needs on the card
HOT = 80  # degrees at which a Pi slows itself down
CLOCK = 600  # seconds
OLD = 30  # days
SHORT = 30  # MB of memory


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what to do; `grave` where a lesson suffers from it."""

    what: str
    cure: str
    grave: bool = True


def faults(state: dict[str, Any], lessons: dict[str, str], asked: float) -> Iterator[Fault]:
    """Give what is wrong. `lessons`: the SHA256 sums on this computer, by name. `asked`: when, in seconds."""
    if not state["versions"]:
        yield Fault("It is not a notebook server yet.", "`make site` makes it one.")
        return
    yield from _servers(state)
    yield from _lessons(state, lessons)
    yield from _card(state["card"])
    yield from _warmth_and_power(state)
    available = state["memory"].get("available")
    if available is not None and available < SHORT:
        yield Fault(
            f"Only {available} MB of its memory are free.",
            "Close what is not used (menu File, Close and Shut Down Notebook).",
        )
    if state["epoch"] > asked + 60 or state["epoch"] < asked - CLOCK:
        yield Fault(
            "Its clock is wrong.",
            "Does the school's network let NTP through? `make site` sets it from here.",
        )
    if state.get("updated") and asked - state["updated"] > OLD * 86400:
        days = round((asked - state["updated"]) / 86400)
        yield Fault(f"It has not asked for updates for {days} days.", "`make site` brings it up to date.", grave=False)
    if state.get("reboot_required"):
        yield Fault("A new kernel waits for a reboot.", "`make site` reboots it.", grave=False)
    if state["failed"] and all(state["servers"].values()):
        failed = ", ".join(state["failed"])
        yield Fault(f"Something of its system failed: {failed}.", "Switch it off and on; if it stays, `make site`.")


def _servers(state: dict[str, Any]) -> Iterator[Fault]:
    down = [name for name, answers in state["servers"].items() if not answers]
    if down:
        whose = "" if len(state["servers"]) == 1 else f" of {', '.join(down)}"
        yield Fault(f"The notebook server{whose} does not run, so its page does not open.", "`make site` starts it.")


def _lessons(state: dict[str, Any], lessons: dict[str, str]) -> Iterator[Fault]:
    several = len(state["lessons"]) > 1
    for student, found in state["lessons"].items():
        whose = f" for {student}" if several else ""
        if found["missing"]:
            yield Fault(f"Missing{whose}: {', '.join(found['missing'])}.", "`make site` brings back what is missing.")
        if found["damaged"]:
            yield Fault(
                f"Cannot be opened{whose}: {', '.join(found['damaged'])}.",
                "Rename it in the browser (it is the student's, so no run touches it); then `make site` adds it again.",
            )
    if lessons and state["pristine"] != lessons:
        differing = {name for name, _ in state["pristine"].items() ^ lessons.items()}
        yield Fault(f"Not as on this computer: {', '.join(sorted(differing))}.", "`make site` hands them out anew.")


def _card(card: dict[str, Any]) -> Iterator[Fault]:
    replace = "Save the students' work soon, and flash another card."
    if card.get("read_only"):
        yield Fault("Its card can only be read: nothing is saved.", "Switch it off and on; if it stays, another card.")
    if card["free"] < ROOM:
        yield Fault(
            f"Its card is nearly full: {card['free']} MB are free.", "Delete what is not needed, or take a larger card."
        )
    if card.get("errors"):
        yield Fault(f"Its card's files are damaged ({card['errors']} errors so far).", replace)
    used = card.get("life_used", 0)
    if used >= 90 or card.get("end_of_life", 1) > 1:
        yield Fault(f"Its card is worn: {used or 'more than 80'} % of its life is used.", replace)


def _warmth_and_power(state: dict[str, Any]) -> Iterator[Fault]:
    bits = state.get("throttled", 0)
    power = "Take a better power supply (5 V, 2.5 A) and a shorter cable."
    if bits & 1:
        yield Fault("It gets too little voltage.", power)
    elif bits & 1 << 16:
        yield Fault("It got too little voltage at some time since it was switched on.", power, grave=False)
    if state.get("temperature", 0) >= HOT or bits & 0b1110:
        yield Fault("It is too hot and slows itself down.", "Give it air, and take it out of the sun.")
