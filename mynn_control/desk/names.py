"""The page Names: pupils' names by seat. They stay on the teacher's computer: no playbook, log or Pi gets them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from mynn_control.desk.database import Seat
from mynn_control.render import render
from mynn_control.translation import _

LONGEST = 60  # characters
# Allowed besides letters, marks and numbers. No name can begin a formula or a new column in a spreadsheet.
BESIDE_LETTERS = " '’.,()_&+/-"


def draw(seats: Sequence[Seat], names: Mapping[Seat, str]) -> str:
    """Return the page. names: the current ones."""
    pis = Counter(pi for pi, _student in seats)
    shared = [pi for pi in pis if pis[pi] > 1]
    return render("names", {"tab": "names", "seats": seats, "shared": shared, "names": names, "longest": LONGEST})


def given_names(given: Mapping[str, str], seats: Sequence[Seat]) -> dict[Seat, str]:
    """Return the names in a form by seat; empty for nobody. given: a field PI/STUDENT for each seat.

    ValueError: a seat or a name is invalid. The message says what to do.
    """
    places = {"/".join(seat): seat for seat in seats}
    if given.keys() - places.keys():
        raise ValueError(_("There is no such seat any more: load this page again."))
    names = {places[place]: unicodedata.normalize("NFC", " ".join(text.split())) for place, text in given.items()}
    for (pi, _student), name in names.items():
        if name and not is_name(name):
            wrong = _(
                "The name for {pi} was refused, and none was saved: a name has at most {longest} letters, begins with "
                "one, and has nothing else but numbers, spaces and {others}"
            )
            raise ValueError(wrong.format(pi=pi, longest=LONGEST, others=BESIDE_LETTERS[1:]))
    return names


def is_name(text: str) -> bool:
    """Return whether a text can be a pupil's name. It must not be empty."""
    kinds = [unicodedata.category(letter)[0] for letter in text]
    known = all(kind in "LMN" or letter in BESIDE_LETTERS for kind, letter in zip(kinds, text, strict=True))
    return known and len(text) <= LONGEST and (kinds[0] in "LN" or text[0] in "'’")
