"""`make message`: the text arrives as it was typed, in a file that the notebook servers read, or is refused."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import ROOT, run_playbook


@pytest.mark.parametrize("text", ['Don\'t: "7" costs $5, $(HOME) or `$$`', "Élève, Größe", ""])
def test_make_passes_the_text_on_as_it_was_typed(text: str) -> None:
    printed = "PLAYBOOK=printenv MESSAGE"
    command = ["make", "--silent", "--old-file=.venv/ready", "message", f"TEXT={text}", printed]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{text}\n"), done.stderr


def show(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook, as if this computer were a Pi."""
    (tmp_path / "inventory.ini").write_text("[pis]\npi-01 ansible_connection=local ansible_become=false\n")
    place = json.dumps({"message_file": str(tmp_path / "run/message"), "ansible_become": False})
    inventory = f"--inventory={tmp_path}/inventory.ini"
    return run_playbook(inventory, "playbooks/message.yml", "-e", place, env={"MESSAGE": text, "COLUMNS": "999"})


@pytest.mark.slow
def test_a_message_is_shown_until_it_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "run/message"
    text = 'Ada’s <b>group</b> & all: "five" more minutes, 100 % (($HOME)) 👩🏽‍🏫 ❤️ →'
    assert show(tmp_path, text).returncode == 0
    shown = json.loads(file.read_text())
    assert (shown["text"], shown["minutes"]) == (text, 45)
    assert file.stat().st_mode & 0o777 == 0o644
    assert show(tmp_path, "").returncode == 0
    assert not file.exists()


@pytest.mark.parametrize("text", ["a\u202eb", "x" * 201])
def test_other_texts_are_refused(tmp_path: Path, text: str) -> None:
    done = show(tmp_path, text)
    assert done.returncode and "so nothing was changed" in done.stdout
    assert not (tmp_path / "run").exists()
