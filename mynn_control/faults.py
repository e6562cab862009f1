"""Faults of a Pi, found in its state, each with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.mynn.pi.plugins.module_utils.linux import SHORT
from mynn_control.translation import _

HOT = 80  # °C at which a Pi slows itself down
CLOCK = 600  # seconds that a Pi's clock may be slow
OLD = 30  # days without a check for updates


@dataclass(frozen=True)
class Fault:
    """A fault. what: the problem; cure: the remedy; grave: whether lessons suffer from it."""

    what: str
    cure: str
    grave: bool = True


def faults(state: dict[str, Any], lessons: dict[str, str], asked: float, room: float) -> Iterator[Fault]:
    """Yield a Pi's faults.

    lessons: SHA256 sums of this computer's lessons, by name. asked: when the Pi was asked, in seconds since 1970. room:
    free MB on the card that the next run needs.
    """
    if not state["versions"]:
        yield Fault(_("It is not a notebook server yet."), _("`make site` makes it one."))
        return
    yield from _servers(state)
    yield from _lessons(state, lessons)
    yield from _card(state["card"], room)
    yield from _warmth_and_power(state)
    available = state["memory"].get("available")
    if available is not None and available < SHORT:
        yield Fault(
            _("Only {count} MB of memory is free.").format(count=available),
            _("End the lessons that nobody uses, on the start page."),
        )
    if state["epoch"] > asked + 60 or state["epoch"] < asked - CLOCK:
        yield Fault(
            _("Its clock is wrong."),
            _("Check that the school's network lets NTP through. `make site` sets the clock from this computer."),
        )
    if state.get("updated") and asked - state["updated"] > OLD * 86400:
        days = round((asked - state["updated"]) / 86400)
        what = _("It has not checked for updates for {days} days.").format(days=days)
        yield Fault(what, _("`make site` updates it."), grave=False)
    if state.get("reboot_required"):
        yield Fault(_("A new kernel needs a reboot."), _("`make site` reboots it."), grave=False)
    if state["failed"] and all(state["servers"].values()):
        what = _("System services failed: {names}.").format(names=", ".join(state["failed"]))
        yield Fault(what, _("Switch it off and on. If that does not help, `make site`."))


def _servers(state: dict[str, Any]) -> Iterator[Fault]:
    down = [name for name, answers in state["servers"].items() if not answers]
    if down:
        what = _("The notebook server is not running, so its page does not open.")
        if len(state["servers"]) > 1:
            what = _("The notebook server of {students} is not running, so its page does not open.")
        yield Fault(what.format(students=", ".join(down)), _("`make site` starts it."))


def _lessons(state: dict[str, Any], lessons: dict[str, str]) -> Iterator[Fault]:
    several = len(state["lessons"]) > 1
    for student, files in state["lessons"].items():
        if files["missing"]:
            what = _("Missing for {student}: {files}.") if several else _("Missing: {files}.")
            what = what.format(student=student, files=", ".join(files["missing"]))
            yield Fault(what, _("`make site` restores what is missing."))
        if files["damaged"]:
            what = _("Cannot be opened for {student}: {files}.") if several else _("Cannot be opened: {files}.")
            cure = _(
                "Rename it in the browser (no run overwrites a student's file); `make site` then hands it out again."
            )
            yield Fault(what.format(student=student, files=", ".join(files["damaged"])), cure)
    if lessons and state["pristine"] != lessons:
        differing = {name for name, _ in state["pristine"].items() ^ lessons.items()}
        names = ", ".join(sorted(differing))
        what = _("Lessons that differ from this computer's: {names}.").format(names=names)
        yield Fault(what, _("`make site` hands them out again."))


def _card(card: dict[str, Any], room: float) -> Iterator[Fault]:
    if card.get("read_only"):
        yield Fault(
            _("Its card is read-only: nothing is saved."),
            _("Switch it off and on. If that does not help, flash another card."),
        )
    if card["free"] < room:
        yield Fault(
            _("Its card is nearly full: {count} MB are free.").format(count=card["free"]),
            _("Delete what is not needed, or use a larger card."),
        )
    if card.get("errors"):
        yield Fault(
            _("The file system on its card is damaged ({count} errors so far).").format(count=card["errors"]),
            _("Collect the students' work soon (`make collect`), and flash another card."),
        )


def _warmth_and_power(state: dict[str, Any]) -> Iterator[Fault]:
    bits = state.get("throttled", 0)
    power = _("Use the power supply that is made for this Pi, and a shorter cable.")
    if bits & 1:
        yield Fault(_("Its supply voltage is too low."), power)
    elif bits & 1 << 16:
        yield Fault(_("Its supply voltage was too low at some point since it was switched on."), power, grave=False)
    if state.get("temperature", 0) >= HOT or bits & 0b1110:
        yield Fault(_("It is too hot and runs slower."), _("Give it air, and take it out of the sun."))
