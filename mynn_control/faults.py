"""What is wrong with a Pi, and what to do about it, judged by its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

HOT = 80  # degrees Celsius, at which a Pi slows itself down
CLOCK = 600  # seconds
OLD = 30  # days
SHORT = 30  # MB of memory


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what to do; `grave` where a lesson suffers from it."""

    what: str
    cure: str
    grave: bool = True


def faults(state: dict[str, Any], lessons: dict[str, str], asked: float, room: float) -> Iterator[Fault]:
    """Yield what is wrong.

    lessons: this computer's SHA256 sums, by name. asked: when the Pi was asked, in seconds. room: the MB that the next
    run needs on the card.
    """
    if not state["versions"]:
        yield Fault("It is not a notebook server yet.", "`make site` makes it one.")
        return
    yield from _servers(state)
    yield from _lessons(state, lessons)
    yield from _card(state["card"], room)
    yield from _warmth_and_power(state)
    available = state["memory"].get("available")
    if available is not None and available < SHORT:
        yield Fault(
            f"Only {available} MB of memory is free.",
            "End the lessons that nobody uses, on the start page.",
        )
    if state["epoch"] > asked + 60 or state["epoch"] < asked - CLOCK:
        yield Fault(
            "Its clock is wrong.",
            "Check that the school's network lets NTP through. `make site` sets the clock from this computer.",
        )
    if state.get("updated") and asked - state["updated"] > OLD * 86400:
        days = round((asked - state["updated"]) / 86400)
        yield Fault(f"It has not checked for updates for {days} days.", "`make site` updates it.", grave=False)
    if state.get("reboot_required"):
        yield Fault("A new kernel needs a reboot.", "`make site` reboots it.", grave=False)
    if state["failed"] and all(state["servers"].values()):
        failed = ", ".join(state["failed"])
        yield Fault(f"System services failed: {failed}.", "Switch it off and on. If that does not help, `make site`.")


def _servers(state: dict[str, Any]) -> Iterator[Fault]:
    down = [name for name, answers in state["servers"].items() if not answers]
    if down:
        whose = "" if len(state["servers"]) == 1 else f" of {', '.join(down)}"
        yield Fault(f"The notebook server{whose} is not running, so its page does not open.", "`make site` starts it.")


def _lessons(state: dict[str, Any], lessons: dict[str, str]) -> Iterator[Fault]:
    several = len(state["lessons"]) > 1
    for student, files in state["lessons"].items():
        whose = f" for {student}" if several else ""
        if files["missing"]:
            yield Fault(f"Missing{whose}: {', '.join(files['missing'])}.", "`make site` restores what is missing.")
        if files["damaged"]:
            yield Fault(
                f"Cannot be opened{whose}: {', '.join(files['damaged'])}.",
                "Rename it in the browser (no run overwrites a student's file); `make site` then hands it out again.",
            )
    if lessons and state["pristine"] != lessons:
        differing = {name for name, _ in state["pristine"].items() ^ lessons.items()}
        names = ", ".join(sorted(differing))
        yield Fault(f"Lessons that differ from this computer's: {names}.", "`make site` hands them out again.")


def _card(card: dict[str, Any], room: float) -> Iterator[Fault]:
    if card.get("read_only"):
        yield Fault(
            "Its card is read-only: nothing is saved.",
            "Switch it off and on. If that does not help, flash another card.",
        )
    if card["free"] < room:
        yield Fault(
            f"Its card is nearly full: {card['free']} MB are free.", "Delete what is not needed, or use a larger card."
        )
    if card.get("errors"):
        yield Fault(
            f"The file system on its card is damaged ({card['errors']} errors so far).",
            "Collect the students' work soon (`make collect`), and flash another card.",
        )


def _warmth_and_power(state: dict[str, Any]) -> Iterator[Fault]:
    bits = state.get("throttled", 0)
    power = "Use the power supply that is made for this Pi, and a shorter cable."
    if bits & 1:
        yield Fault("Its supply voltage is too low.", power)
    elif bits & 1 << 16:
        yield Fault("Its supply voltage was too low at some point since it was switched on.", power, grave=False)
    if state.get("temperature", 0) >= HOT or bits & 0b1110:
        yield Fault("It is too hot and runs slower.", "Give it air, and take it out of the sun.")
