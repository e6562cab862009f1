"""Faulty Pis: the others are finished, and one table says which is not, why, and what to do."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.classroom.conftest import all_files
from tests.support.classroom import ROOT, Classroom, on, one_line, recap, root, serves, until, with_inventory
from tests.support.playbook_run import PlaybookRun

# A system's name that would write to the terminal, and a release that would leave a folder.
LIES = r"ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie/../../x\nPRETTY_NAME=\"Deb\033[2Jian\"\n"
# Those that are not finished, and why. tests/unit covers how the table words it.
NOT_FINISHED = {
    "pi-02",  # invalid facts
    "pi-03",  # too little space on its card
    "pi-off",  # no answer
    "pi-unknown.invalid",  # no such name
}


def test_the_summary_names_each_pi_that_was_not_finished(three: Classroom, tmp_path: Path) -> None:
    """Nothing is changed on those that cannot be provisioned, and what they say is escaped."""
    liar, full = on(three, "pi-02"), on(three, "pi-03")
    classroom = with_inventory(
        three,
        tmp_path,
        pis=["pi-off ansible_host=127.77.7.99", "pi-unknown.invalid"],
        settings={"pi-03": "system_free_mb_again=99999999"},
    )
    before = [all_files(pi) for pi in (liar, full)]
    root(liar, f"printf '{LIES}' >/tmp/lies && mount --bind /tmp/lies /usr/lib/os-release")
    try:
        output = classroom.fail("site")
    finally:
        root(liar, "umount /usr/lib/os-release")
    assert [all_files(pi) for pi in (liar, full)] == before
    counts = recap(output)["pi-01"]
    assert (counts.failed, counts.unreachable, counts.changed) == (0, 0, 0)
    assert "\x1b" not in output
    summary = output[output.index("NOT FINISHED") :]
    assert set(re.findall(r"^\S+", summary, re.M)) >= NOT_FINISHED
    assert one_line(summary).endswith("Finished: 1 of 5.")


@pytest.mark.parametrize(("strategy", "faults"), [("classroom", ["freeze", "kill"]), ("linear", ["kill"])])
def test_a_pi_that_dies_during_a_run_is_given_up(three: Classroom, strategy: str, faults: list[str]) -> None:
    """With mitogen, and with Ansible's own strategy. The others are finished."""
    dying = dict(zip(("pi-02", "pi-03"), faults, strict=False))
    run = PlaybookRun(three.command("site"), ROOT, {**os.environ, "ANSIBLE_STRATEGY": strategy})
    try:
        for name in dying:
            run.when(rf"^ok: \[{name}\]")
        began = time.monotonic()
        for name, fault in dying.items():
            pi = three.fleet.container(name)
            pi.freeze(True) if fault == "freeze" else pi.kill()
        for name in dying:
            run.when(rf"^fatal: \[{name}\]: UNREACHABLE")
        print(f"{faults}: given up after {time.monotonic() - began:.1f} s")
        assert run.wait() != 0
    finally:
        three.fleet.start(*dying)
    counts = recap(run.output)
    assert set(counts) == {"pi-01", "pi-02", "pi-03"}
    for name, count in counts.items():
        assert (count.unreachable, count.failed) == (int(name in dying), 0)
    assert f"Not finished: {', '.join(dying)}." in run.output


def test_a_server_that_hangs_is_started_again(classroom: Classroom) -> None:
    """By systemd's watchdog: here after six seconds, in a classroom after five minutes."""
    folder = "/run/systemd/system/jupyter.service.d"
    pid = "systemctl show --property MainPID --value jupyter"
    root(classroom, f"mkdir -p {folder}; printf '[Service]\\nWatchdogSec=6\\n' >{folder}/test.conf")
    try:
        root(classroom, "systemctl daemon-reload; systemctl restart jupyter")
        hung = root(classroom, pid)
        root(classroom, f"kill -STOP {hung}")
        until(lambda: root(classroom, pid) not in (hung, "0"))
        assert serves(classroom)
    finally:
        root(classroom, f"rm -r {folder}; systemctl daemon-reload; systemctl restart jupyter")
