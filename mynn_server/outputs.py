"""Cell outputs in nbformat, assembled from a kernel's messages."""

from __future__ import annotations

from typing import Any

ADDED = ("stream", "display_data", "execute_result", "error")

Message = dict[str, Any]


def settle(text: str) -> str:
    """Return a text with its carriage returns applied: text after one overwrites its line.

    Later text may go on overwriting the last line. To keep the cursor's place, a carriage return and the part already
    overwritten are then appended.
    """
    shown, last = overwritten(text), text.rpartition("\n")[2]
    line, done = shown.rpartition("\n")[2], len(last.rpartition("\r")[2])
    return f"{shown}\r{line[:done]}" if done < len(line) or text.endswith("\r") else shown


def overwritten(text: str) -> str:
    """Return a text as displayed, with its carriage returns applied."""
    return "\n".join(map(_overwrite, text.split("\n"))) if "\r" in text else text


def _overwrite(line: str) -> str:
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


def place_of(content: dict[str, Any]) -> str | None:
    """Return an output's display id, by which later messages can replace it, if it has one."""
    place: str | None = content.get("transient", {}).get("display_id")
    return place


class Outputs:
    """The outputs of one run of a cell."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []  # outputs in nbformat
        self._places: list[str | None] = []  # their display ids
        self._is_replaced = False  # whether the next output clears them

    def add(self, message: Message) -> None:
        """Apply a kernel's message."""
        kind, content = message["msg_type"], message["content"]
        if kind == "update_display_data":
            self._update(content)
        elif kind == "clear_output":
            self._is_replaced = bool(content["wait"])
            if not content["wait"]:
                self._clear()
        elif kind in ADDED:
            if self._is_replaced:
                self._clear()
            self._append(kind, content)

    def _clear(self) -> None:
        self.shown, self._places, self._is_replaced = [], [], False

    def _append(self, kind: str, content: dict[str, Any]) -> None:
        last = self.shown[-1] if self.shown else {}
        if kind == "stream" and last.get("name") == content["name"]:
            last["text"] = settle(last["text"] + content["text"])
            return
        output = {name: value for name, value in content.items() if name != "transient"}
        if kind == "stream":
            output["text"] = settle(output["text"])
        self.shown.append({"output_type": kind, **output})
        self._places.append(place_of(content))

    def _update(self, content: dict[str, Any]) -> None:
        for output, place in zip(self.shown, self._places, strict=True):
            if place and place == place_of(content):
                output |= {"data": content["data"], "metadata": content["metadata"]}
