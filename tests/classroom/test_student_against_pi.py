"""A malicious student's files and programs gain no access, and stop neither the server nor a playbook."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.classroom.test_site import wait_for_login
from tests.support.classroom import Classroom, recap, root
from tests.support.ports import free_port
from tests.virtual.pi import ssh_command

LEAVE_A_KEY = """
umask 077; mkdir -p ~/.ssh; cat >~/.ssh/authorized_keys; umask 022
site=$(/usr/bin/python3 -m site --user-site); mkdir -p $site ~/.jupyter
echo "import pathlib; pathlib.Path('/tmp/found').touch(); raise SystemExit('found')" >$site/usercustomize.py
cp $site/usercustomize.py $site/tornado.py
cp $site/usercustomize.py ~/.jupyter/jupyter_server_config.py
"""
FORGET = "cd ~ && rm -rf .ssh .local/lib .jupyter"
# Answers like the control node's cache.
ANSWER = """
import http.server, sys
class Cache(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(406)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Cache).serve_forever()
"""
ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
connection.request("HEAD", "/")
print(connection.getresponse().status)
"""


@pytest.fixture
def traps(classroom: Classroom) -> Iterator[None]:
    """Leave traps in the student's home, among them an authorized key of the test's own."""
    key = classroom.fleet.state.key.with_suffix(".pub").read_text(encoding="utf-8")
    as_student(classroom, f"echo {shlex.quote(key.strip())} | (\n{LEAVE_A_KEY})")
    yield
    as_student(classroom, FORGET)


def as_student(classroom: Classroom, script: str) -> str:
    """Run a shell script as the student, outside the sandbox, and return its output."""
    return root(classroom, f"runuser --login student --command {shlex.quote(script)}")


def test_a_students_authorized_key_gives_no_access(classroom: Classroom, traps: None) -> None:
    state = classroom.fleet.state
    command = ssh_command(state, classroom.address, "id")
    command[-2] = command[-2].replace(f"{state.account}@", "student@")
    for words in (command, [*command[:-2], "-N", "-o", "ExitOnForwardFailure=yes", command[-2]]):
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 255
        assert "Permission denied" in done.stderr
    # The account has expired, so cron and the like run nothing for it either.
    assert "expired" in classroom.ssh("sudo chage --list student").stdout.replace("Jan 02, 1970", "expired")


def test_the_server_ignores_a_students_traps(classroom: Classroom, traps: None) -> None:
    root(classroom, "systemctl restart jupyter")
    assert wait_for_login(f"http://{classroom.address}:8888") == 200
    assert root(classroom, "find / -xdev -name found -user student 2>/dev/null || true") == ""


def test_a_server_that_fails_to_start_is_noticed_at_once(classroom: Classroom) -> None:
    place = "/run/systemd/system/jupyter.service.d"
    lines = "[Service]\\nExecStart=\\nExecStart=/bin/false\\n"
    root(classroom, f"mkdir -p {place}; printf '{lines}' >{place}/broken.conf; systemctl daemon-reload")
    began = time.monotonic()
    try:
        done = classroom.ssh("sudo systemctl restart jupyter")
    finally:
        root(classroom, f"rm -r {place}; systemctl daemon-reload; systemctl restart jupyter")
    assert done.returncode != 0
    assert time.monotonic() - began < 60


def test_a_students_program_cannot_impersonate_the_cache(classroom: Classroom, tmp_path: object) -> None:
    """Root's apt does not use it, and a student's program cannot reach the real one."""
    port = free_port()
    settings = [
        "-e",
        f"apt_cache_port={port}",
        "-e",
        f"apt_cache_folder={tmp_path}",
        "-e",
        "__system_apt_cache_seconds=0",
    ]
    start = f"systemd-run --quiet --unit=impostor --property=User=USER /usr/bin/python3 -c {shlex.quote(ANSWER)} {port}"
    ask = f"/usr/bin/python3 -c {shlex.quote(ASK)} {port}"
    try:
        root(classroom, start.replace("USER", "student"))
        done = classroom.playbook("site", *settings)
        assert (done.returncode, recap(done.stdout)[classroom.host].changed) == (0, 0)
        assert f"listens on port {port} of this Pi" in " ".join((done.stdout + done.stderr).split())
        root(classroom, "systemctl stop impostor")
        assert classroom.playbook("site", *settings).returncode == 0  # uses the cache, and closes its port to students
        root(classroom, start.replace("USER", "student"))
        time.sleep(1)
        assert "TimeoutError" in classroom.ssh(f"sudo {ask}").stderr
        root(classroom, "systemctl stop impostor")
        root(classroom, start.replace("USER", "root"))
        time.sleep(1)
        assert root(classroom, ask) == "406"
        assert "ConnectionRefusedError" in classroom.ssh(f"sudo runuser -u student -- {ask}").stderr
    finally:
        classroom.ssh("sudo systemctl stop impostor; sudo nft delete table ip mynn_pi")


def test_reset_kills_all_of_a_students_programs(classroom: Classroom, tmp_path: object) -> None:
    """Even one that runs outside the notebook server."""
    stray = "systemd-run --quiet --unit=stray --property=User=student /usr/bin/sleep 600"
    root(classroom, f"{stray}; echo mine >/home/student/notebooks/mine.txt")
    done = classroom.playbook("reset", "-e", "reset_uncollected=true", "-e", f"student_work_collections={tmp_path}")
    assert done.returncode == 0
    assert classroom.ssh("systemctl is-active stray").stdout.strip() in ("inactive", "failed")
    classroom.ssh("sudo systemctl reset-failed stray")
    again = classroom.playbook("reset", "-e", "reset_uncollected=true", "-e", f"student_work_collections={tmp_path}")
    assert recap(again.stdout)[classroom.host].changed == 0
