"""site.yml: check mode, idempotence, and what a run costs a Pi."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.classroom.conftest import Baseline
from tests.support.classroom import ROOT, Classroom, recap
from tests.support.playbook_run import sent_tasks

MOST_TASKS = 12


@dataclass(frozen=True)
class Sent:
    """What a run sent to the Pi: the tasks, and the modules in the Pi's log, each with its process id."""

    changed: int
    tasks: list[str]
    modules: list[tuple[str, int]]

    @property
    def processes(self) -> list[int]:
        """The process id of each module."""
        return [process for _, process in self.modules]


def site_counted(classroom: Classroom, *python: str, extra: Sequence[str] = ()) -> Sent:
    """Run site.yml, with another Python if given, and return what it sent."""
    cursor = classroom.ssh("sudo journalctl --lines=0 --show-cursor").stdout.partition("cursor: ")[2].strip()
    done = subprocess.run(
        [*python, *classroom.command("site", *extra)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    output = json.loads(done.stdout)
    log = classroom.ssh(f"sudo journalctl --quiet --after-cursor='{cursor}' --grep='Invoked with'").stdout
    modules = [(name, int(number)) for name, number in re.findall(r" ansible-([\w.]+)\[(\d+)\]: Invoked", log)]
    return Sent(output["stats"][classroom.host]["changed"], sent_tasks(output["plays"], classroom.host), modules)


def python_without_mitogen(folder: Path) -> Path:
    """Return the Python of an environment like this one, but without mitogen."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for package in Path(pytest.__file__).parents[1].iterdir():
        if "mitogen" not in package.name:
            (packages / package.name).symlink_to(package)
    return folder / "bin/python"


def login_status(url: str, authority: Path | None = None) -> int:
    """Return the HTTP status of the login page. Raises OSError if there is none or it is not trusted."""
    context = ssl.create_default_context(cafile=str(authority)) if authority else None
    with urllib.request.urlopen(f"{url}/login", timeout=20, context=context) as answer:
        return int(answer.status)


def wait_for_login(url: str, authority: Path | None = None) -> int:
    """Return the HTTP status of the login page, once the server has started."""
    for _ in range(60):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return login_status(url, authority)
        time.sleep(0.5)
    return login_status(url, authority)


def test_check_mode_on_a_fresh_pi_says_what_would_be_done(baseline: Baseline) -> None:
    look = baseline.check_fresh
    assert look.returncode == 0
    assert recap(look.stdout)["pi-01"].changed >= 15
    would = re.findall(r"TASK \[(.*?)\] \**\n(?:(?!TASK).*\n)*?changed: ", look.stdout)
    for name in (
        "system : Set the host name",
        "python : Install Jupyter",
        "mnist : Unpack and check MNIST",
        "jupyter : Write the server's unit",
    ):
        assert any(task.startswith(name) for task in would), name
    assert "+    path: /home/student" in look.stdout or "+/home/student/notebooks" in look.stdout
    assert "+Description=Notebook server" in look.stdout


def test_check_mode_on_a_fresh_pi_changes_nothing(baseline: Baseline) -> None:
    assert "/etc/hostname" in baseline.fresh
    assert baseline.after_check == baseline.fresh


@pytest.mark.quick
def test_the_first_run_succeeds(baseline: Baseline) -> None:
    assert baseline.first.returncode == 0
    counts = recap(baseline.first.stdout)["pi-01"]
    assert (counts.failed, counts.unreachable) == (0, 0)
    assert counts.changed > 15


@pytest.mark.quick
def test_a_second_run_changes_nothing_and_is_small(
    classroom: Classroom, record_property: Callable[[str, object], None]
) -> None:
    sent = site_counted(classroom)
    print(f"{len(sent.tasks)} tasks, {len(sent.processes)} modules in the log:", *sent.tasks, sep="\n")
    record_property("tasks", len(sent.tasks))
    assert sent.changed == 0
    assert 4 < len(sent.tasks) <= MOST_TASKS
    # mitogen runs all modules in one Python process; stock Ansible starts one for each.
    assert len(sent.processes) >= len(sent.tasks) - 1  # a task with secrets is not in the log
    assert {name for name, _ in sent.modules} > {"pi_facts", "lessons"}
    assert len(set(sent.processes)) == 1


def test_it_works_without_mitogen(classroom: Classroom, tmp_path: Path) -> None:
    python = python_without_mitogen(tmp_path / "venv")
    assert subprocess.run([python, "-c", "import mitogen"], stderr=subprocess.DEVNULL, check=False).returncode == 1
    sent = site_counted(classroom, str(python))
    assert sent.changed == 0
    assert len(sent.tasks) <= MOST_TASKS
    assert len(sent.processes) == len(set(sent.processes)) >= len(sent.tasks) - 1


def test_check_mode_on_a_provisioned_pi_finds_nothing(classroom: Classroom) -> None:
    look = classroom.playbook("site", "--check", "--diff")
    assert look.returncode == 0
    assert recap(look.stdout)["pi-01"].changed == 0
    assert not re.search(r"^(---|\+\+\+|@@)", look.stdout, re.M)


@pytest.mark.parametrize("path", ["/etc/jupyter/jupyter_server_config.py", "/opt/mynn/venv/mynn-*"])
def test_a_server_that_is_older_than_its_files_is_restarted_once(classroom: Classroom, path: str) -> None:
    """As after a run that was interrupted between a change and the restart."""
    ask = "systemctl show --property=MainPID --value jupyter"
    before = classroom.ssh(f"{ask}; sudo touch --no-dereference {path}").stdout
    done = classroom.playbook("site")
    assert recap(done.stdout)[classroom.host].changed == 1
    assert "changed: [pi-01]" in done.stdout.partition("Start the server, now and at each boot")[2]
    after = classroom.ssh(ask).stdout
    assert after != before
    assert recap(classroom.playbook("site").stdout)[classroom.host].changed == 0
    assert classroom.ssh(ask).stdout == after


@pytest.mark.long
def test_https_by_one_setting_and_back(classroom: Classroom, tmp_path: Path) -> None:
    settings = ["-e", "jupyter_https=true", "-e", f"jupyter_ca={tmp_path / 'ca'}"]
    secure, plain = f"https://{classroom.address}:8888", f"http://{classroom.address}:8888"
    assert wait_for_login(plain) == 200
    try:
        assert classroom.playbook("site", *settings).returncode == 0
        assert wait_for_login(secure, tmp_path / "ca/classroom-ca.crt") == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            login_status(secure)
        with pytest.raises((OSError, http.client.HTTPException)):
            login_status(plain)
        again = classroom.playbook("site", *settings)
        assert recap(again.stdout)["pi-01"].changed == 0
        assert (tmp_path / "ca/classroom-ca.key").stat().st_mode & 0o077 == 0
        assert classroom.ssh("sudo stat -c '%a %U' /etc/jupyter/password").stdout.strip() == "600 root"
        assert classroom.ssh("sudo grep -c 'PRIVATE KEY' /etc/jupyter/password").stdout.strip() == "2"
        assert classroom.ssh("ls /etc/jupyter").stdout.split() == ["jupyter_server_config.py", "password"]
    finally:
        back = classroom.playbook("site")
    assert back.returncode == 0
    assert wait_for_login(plain) == 200
    assert recap(classroom.playbook("site").stdout)["pi-01"].changed == 0


def test_no_run_loses_a_students_work(classroom: Classroom, tmp_path: Path) -> None:
    """A student edits, adds, renames and deletes files; then every lesson gets a new version."""
    lessons = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", lessons)
    edited, renamed = sorted(path.name for path in lessons.glob("*.ipynb"))[:2]
    folder = "/home/student/notebooks"

    def as_student(script: str) -> str:
        done = classroom.ssh(f"sudo -u student sh -ec '{script}'")
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = as_student(
        f'cd {folder}; echo mine > mine.txt; echo " " >> {edited}; mv {renamed} my-own.ipynb; '
        f"sha256sum mine.txt {edited} my-own.ipynb"
    )
    try:
        for number in (1, 2):  # a new version of each lesson, twice
            for lesson in lessons.glob("*.ipynb"):
                lesson.write_text(lesson.read_text(encoding="utf-8") + "\n" * number, encoding="utf-8")
            done = classroom.playbook("site", "-e", f"lessons_source={lessons}")
            assert done.returncode == 0
            assert as_student(f"cd {folder}; sha256sum mine.txt {edited} my-own.ipynb") == before
        listed = as_student(f"ls {folder}").splitlines()
        beside = edited.replace(".ipynb", " (new).ipynb")
        assert beside in listed
        assert renamed in listed  # a deleted lesson is restored
        ours = as_student(f'cd {folder}; sha256sum "{beside}" {renamed} | cut -d" " -f1').split()
        pristine = classroom.ssh(f"cd /opt/mynn/notebooks; sha256sum {edited} {renamed} | cut -d' ' -f1").stdout.split()
        assert ours == pristine
        again = classroom.playbook("site", "-e", f"lessons_source={lessons}")
        assert recap(again.stdout)["pi-01"].changed == 0
    finally:
        as_student(f"cd {folder}; rm -f mine.txt my-own.ipynb {edited} {renamed} *new*")
        classroom.playbook("site")


def test_a_pi_with_malicious_facts_is_named_and_not_changed(classroom: Classroom, tmp_path: Path) -> None:
    """Its facts become no path and no setting, only escaped text in the terminal and the report."""
    release = 'ID=debian\\nVERSION_ID=13\\nVERSION_CODENAME=trixie/../../x\\nPRETTY_NAME="Deb\\033[2Jian"\\n'
    try:
        classroom.ssh(f"printf '{release}' > /tmp/lies && sudo mount --bind /tmp/lies /usr/lib/os-release")
        done = classroom.playbook("site", "-v")
        report = classroom.playbook("report", "-e", f"report_folder={tmp_path}")
    finally:
        classroom.ssh("sudo umount /usr/lib/os-release; rm /tmp/lies")
    output = " ".join(done.stdout.split())
    assert "reported invalid facts (name), and nothing was changed on it" in output
    assert r"Deb\x1b[2Jian" in output
    assert recap(done.stdout)[classroom.host].changed == 0
    assert report.returncode == 0
    assert r"Deb\x1b[2Jian" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "\x1b" not in done.stdout + done.stderr + report.stdout + report.stderr
