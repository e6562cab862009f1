"""The strategy `classroom`: on which Pis a password for sudo is tried; a Pi lost while sudo starts; and processors."""

import json
import os
import subprocess
from pathlib import Path

import pexpect
import pytest

from ansible_collections.mynn.pi.plugins.strategy import classroom
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT, sudo_that_takes

QUESTION = "Password (not shown): "
REFUSED = "sudo on {} does not accept that password."
PROCESSORS = os.cpu_count() or 1
PLAY = {"hosts": "all", "become": True, "gather_facts": False, "tasks": [{"command": "true"}] * 2}


def run(folder: Path, pis: dict[str, str], answers: list[str], inventory: str = "") -> tuple[int, str]:
    """Run two tasks on this computer, as on Pis with these passwords; return the exit status, and what was said.

    It must ask for a password as often as there are answers. inventory: more of it.
    """
    lines = [f"{pi} ansible_become_exe={sudo_that_takes(password, folder / pi)}\n" for pi, password in pis.items()]
    (folder / "inventory.ini").write_text("".join([*lines, "[all:vars]\nansible_connection=local\n", inventory]))
    (folder / "play.yml").write_text(json.dumps([PLAY]))
    arguments = ["-i", f"{folder}/inventory.ini", f"{folder}/play.yml"]
    environment = os.environ | {"ANSIBLE_NOCOLOR": "1"}
    options = {"cwd": str(ROOT), "env": environment, "encoding": "utf-8", "dimensions": (50, 150)}
    program = pexpect.spawn(ANSIBLE_PLAYBOOK, arguments, timeout=600, **options)
    said = ""
    for answer in answers:
        program.expect_exact(QUESTION)
        said += program.before
        program.waitnoecho()
        program.sendline(answer)
    asked_again = program.expect_exact([pexpect.EOF, QUESTION])
    program.close(force=True)
    said += program.before
    print(said)
    assert not asked_again
    return int(program.exitstatus), said


@pytest.mark.slow
def test_the_teacher_is_asked_once_for_all_pis_and_again_for_one_with_another_password(tmp_path: Path) -> None:
    status, said = run(tmp_path, {"pi-01": "right", "pi-02": "right", "pi-03": "other"}, ["right", "other"])
    assert status == 0 and said.count("wants the password of") == 1
    assert [pi for pi in ("pi-01", "pi-02", "pi-03") if REFUSED.format(pi) in said] == ["pi-03"]


@pytest.mark.slow
def test_after_three_wrong_ones_or_with_a_wrong_one_in_the_inventory_it_is_asked_no_more(tmp_path: Path) -> None:
    wrong = "[one]\npi-02\n[one:vars]\nansible_become_password=wrong\n"
    status, said = run(tmp_path, {"pi-01": "right", "pi-02": "right"}, [*"abc"], wrong)
    assert status != 0 and said.count(REFUSED.format("pi-01")) == 2
    assert "Not finished: pi-01, pi-02." in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sudo", "why"),
    [("kill -KILL $PPID", "The connection was lost: its power"), ("exec sleep 600", "It takes too long to answer")],
)
def test_a_pi_that_is_lost_while_sudo_starts_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo: str, why: str
) -> None:
    """Its power fails, and with it Python at its end of the connection; or it is too busy."""
    monkeypatch.setenv("ANSIBLE_TIMEOUT", "20")  # also for Python's start, on a busy computer
    lost = tmp_path / "lost"
    lost.write_text(f"#!/bin/sh\n{sudo}\n")
    lost.chmod(0o755)
    status, said = run(tmp_path, {"pi-01": ""}, [], f"[lost]\npi-01 ansible_become_exe={lost}\n")
    assert status != 0 and "fatal: [pi-01]: UNREACHABLE!" in said and why in said


def test_a_refused_password_is_recognised_and_other_failures_are_not() -> None:
    mitogens = "Task failed: error occurred on host raspberrypi: sudo password is "
    assert classroom.MISSING.search(f"{mitogens}required") and classroom.INCORRECT.search(f"{mitogens}incorrect")
    for message in ("", "apt said: sudo password is required for this\nand more", "Missing sudo password file"):
        assert not classroom.MISSING.search(message)


@pytest.mark.skipif(PROCESSORS < 2, reason="with one processor, there is no other that mitogen could leave out")
def test_what_a_run_starts_here_may_use_every_processor() -> None:
    """Builds and compression take as many as there are; mitogen would leave them one of two."""
    every = ["taskset", "--cpu-list", f"0-{PROCESSORS - 1}"]  # even if this test may use one only
    ansible = [str(Path(ANSIBLE_PLAYBOOK).with_name("ansible")), "localhost", "-m", "command", "-a", "nproc"]
    done = subprocess.run([*every, *ansible], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.split()[-1] == subprocess.check_output([*every, "nproc"], text=True).strip()
