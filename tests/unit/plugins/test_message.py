"""`make message`: the text arrives as it was typed, in a file that the notebook servers read, or is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mynn_server.start_page import message

PROJECT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: pis
  gather_facts: false
  roles:
    - message
"""


@pytest.mark.parametrize(
    "text", ["Five more minutes", "Don't stop!", 'A "7" costs $5, $(HOME) or `$$`', "Élève, Größe", ""]
)
def test_make_passes_the_text_on_as_it_was_typed(text: str) -> None:
    printed = "PLAYBOOK=printenv MESSAGE"
    command = ["make", "--silent", "--old-file=.venv/ready", "message", f"TEXT={text}", printed]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{text}\n"), done.stderr


def test_make_wants_a_text() -> None:
    command = ["make", "--silent", "--old-file=.venv/ready", "message", "PLAYBOOK=true"]
    done = subprocess.run(command, cwd=PROJECT, env=os.environ | {"TEXT": "mine"}, capture_output=True, text=True)
    assert done.returncode and "make message TEXT='Five more minutes'" in done.stderr


def tell(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run the role, as if this computer were a Pi."""
    (tmp_path / "group_vars").mkdir(exist_ok=True)
    if not (tmp_path / "group_vars/all").exists():
        (tmp_path / "group_vars/all").symlink_to(PROJECT / "playbooks/group_vars/all")
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "inventory.ini").write_text("[pis]\npi-01 ansible_connection=local\n")
    playbook = str(Path(sys.executable).with_name("ansible-playbook"))
    place = json.dumps({"message_file": str(tmp_path / "run/message")})
    return subprocess.run(
        [playbook, "-i", str(tmp_path / "inventory.ini"), str(tmp_path / "play.yml"), "-e", place],
        cwd=PROJECT,
        env=os.environ | {"MESSAGE": text, "COLUMNS": "999"},
        capture_output=True,
        text=True,
    )


def test_a_message_is_shown_until_it_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "run/message"
    text = 'Ada’s group: "five" more minutes, 100 % {{ lookup("env", "HOME") }}'.replace("{", "(").replace("}", ")")
    assert tell(tmp_path, text).returncode == 0
    assert message(file) == {"text": text, "minutes": 0}
    assert file.stat().st_mode & 0o777 == 0o644
    before = file.stat().st_ino
    assert tell(tmp_path, text).returncode == 0
    assert file.stat().st_ino != before  # the same, but said again
    assert tell(tmp_path, "").returncode == 0
    assert not file.exists()


@pytest.mark.parametrize("text", ["x" * 201, "a <b>", "two\nlines", "\x1b[2J", "back\u202ewards", "{{ 1 + 1 }}"])
def test_other_texts_are_refused(tmp_path: Path, text: str) -> None:
    done = tell(tmp_path, text)
    assert done.returncode and "so nothing was changed" in done.stdout
    assert not (tmp_path / "run").exists()
