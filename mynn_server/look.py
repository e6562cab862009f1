"""Shorten a student's notebook for the teacher's desk, which shows it read-only (mynn_control/desk/look.py)."""

from __future__ import annotations

import json
import re
from typing import Any

NAME = r"\w[\w .,()'+-]{0,149}"  # a notebook's, without .ipynb: no hidden file
NOTEBOOK = re.compile(rf"([a-z]{{2}}/)?{NAME}\.ipynb")  # in the folder of a language, or in none
LARGEST = 4_000_000  # bytes of a file that is read: this needs 30 MB of a Pi's memory; 20 MB would need 140
LARGEST_OUTPUT, LARGEST_ANSWER = 200_000, 900_000  # characters; a line to the desk has at most a million
LEFT_OUT = {"left_out": True}  # in place of an output; the desk says so in the class's language
KEPT = ("cell_type", "source", "outputs", "execution_count")


def shortened(content: bytes) -> str | None:
    """Return the cells of a notebook as JSON in ASCII; None if it is not a notebook, or has too much text.

    Left out is each output that is too large, then as many as needed, from the last cell on.
    """
    try:
        cells = []
        for whole in json.loads(content)["cells"]:
            cell = {name: whole.get(name) for name in KEPT}
            if "source_hidden" in (whole.get("metadata") or {}).get("jupyter", {}):
                cell["folded"] = whole["metadata"]["jupyter"]["source_hidden"] is True
            cells.append(cell)
            outputs = cell["outputs"] or []
            cell["outputs"] = [one if size(one) <= LARGEST_OUTPUT else LEFT_OUT for one in outputs]
        excess = size(cells) - LARGEST_ANSWER
        for cell in reversed(cells):
            if excess > 0 and cell["outputs"]:
                excess -= size(cell["outputs"]) - size([LEFT_OUT])
                cell["outputs"] = [LEFT_OUT]
        return None if size(cells) > LARGEST_ANSWER else json.dumps(cells)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def size(part: Any) -> int:
    """Return how many characters a part takes in the answer: as JSON in a text of JSON."""
    return len(json.dumps(json.dumps(part)))
