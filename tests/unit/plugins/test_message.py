"""`make message`: what the notebook servers read of the file with the teacher's line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from start_page import message


def test_a_messages_time_is_over(tmp_path: Path) -> None:
    file = tmp_path / "message"
    assert message(file) is None
    file.write_text(json.dumps({"text": "Five more minutes", "minutes": 45}))
    for minutes, shown in ((0, 0), (3, 3), (-500, 0), (44, 44), (45, None)):
        os.utime(file, (time.time() - 60 * minutes - 5,) * 2)
        assert message(file) == (None if shown is None else {"text": "Five more minutes", "minutes": shown})


@pytest.mark.parametrize("content", ["", "{", "5", "[]", "{}", '{"text": "x", "minutes": "y"}', "x" * 5000])
def test_what_is_no_message_is_not_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "message").write_text(content)
    assert message(tmp_path / "message") is None
