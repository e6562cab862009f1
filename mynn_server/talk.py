"""What a teacher and a pupil tell each other: lines to the pupil, and a call for help.

It is kept in two files of the student's folder, so a collection has them. Students can write anything into them.

- FROM_TEACHER: {"lines": [{"number": 1790000000, "text": "Count again", "lesson": "part2_mnist_data_set", "task":
  "fours"}], "place": 2, "helped": 0}. The desk writes it (status_stream.py). `place`: in the queue for help, from 1.
  `helped`: the number of the last call that the teacher has answered.
- TO_TEACHER: {"read": 1790000000, "asked": 1790000003, "path": "part2_mnist_data_set.ipynb"}. The notebook server
  writes it. `read`: the last line that was read. `asked`: the number of the last call, from the lesson `path`; 0 if it
  was taken back.

Lines and calls are numbered by the seconds since 1970: a new desk, or an emptied folder, does not begin again at 1.
This does not load Jupyter, since the desk's program on a Pi uses it, too.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from mynn.outline import NOT_AS_EXPECTED
from mynn_server.linux import read_regular

FROM_TEACHER, TO_TEACHER = "from_my_teacher.json", "to_my_teacher.json"
LARGEST = 16_000  # bytes of a file
LONGEST = 200  # characters of a line
MOST = 5  # lines that a Pi has of a pupil, the latest


def talk(folder: Path) -> dict[str, Any]:
    """Return what both files say: `lines` (not read yet), `read`, `asked` (0: no open call), `path` and `place`."""
    told, said = stored(folder / FROM_TEACHER), stored(folder / TO_TEACHER)
    read, asked = number(said.get("read")), number(said.get("asked"))
    if asked <= number(told.get("helped")):
        asked = 0
    lines: list[dict[str, Any]] = []
    with suppress(*NOT_AS_EXPECTED):
        for line in told["lines"][:MOST]:
            words = {key: str(line[key])[:LONGEST] for key in ("text", "lesson", "task")}
            lines += [{"number": line["number"], **words}] if number(line["number"]) > read else []
    place = number(told.get("place")) if asked else 0
    return {"lines": lines, "read": read, "asked": asked, "path": str(said.get("path", ""))[:300], "place": place}


def stored(path: Path) -> dict[str, Any]:
    """Return a file's content; nothing if it is missing or damaged."""
    try:
        content = json.loads(read_regular(path, LARGEST))
    except NOT_AS_EXPECTED:
        return {}
    return content if isinstance(content, dict) else {}


def number(value: object) -> int:
    """Return the number of a line or a call; 0 if it is invalid."""
    return value if type(value) is int and 0 <= value < 1 << 40 else 0
