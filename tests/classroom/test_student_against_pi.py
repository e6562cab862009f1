"""A malicious student's files and programs gain no access, and stop neither the server nor a playbook."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import Classroom, as_student, one_line, recap, root, serves, until
from tests.support.ports import free_port
from tests.virtual.pi import ssh_command

LEAVE_TRAPS = """
import pathlib, site
trap = "import pathlib; pathlib.Path('/tmp/found').touch(); raise SystemExit('found')"
home = pathlib.Path("/home/student")
site = pathlib.Path(site.getusersitepackages())
(home / ".ssh").mkdir(mode=0o700)
(home / ".ssh/authorized_keys").write_text({key!r})
for path in site / "usercustomize.py", site / "tornado.py", home / ".jupyter/jupyter_server_config.py":
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(trap)
"""
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
    as_student(classroom, LEAVE_TRAPS.format(key=key))
    yield
    root(classroom, "cd /home/student && rm -rf .ssh .local/lib .jupyter")


def test_a_students_traps_give_no_access_and_are_not_run(classroom: Classroom, traps: None) -> None:
    state = classroom.fleet.state
    command = ssh_command(state, classroom.address, "id")
    command[-2] = command[-2].replace(f"{state.account}@", "student@")
    for words in (command, [*command[:-2], "-N", "-o", "ExitOnForwardFailure=yes", command[-2]]):
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 255
        assert "Permission denied" in done.stderr
    # The account has expired, so cron and the like run nothing for it either.
    assert root(classroom, "getent shadow student | cut -d: -f8") == "1"
    root(classroom, "systemctl restart jupyter")
    assert serves(classroom)
    assert root(classroom, "find / -xdev -name found -user student 2>/dev/null || true") == ""


def test_a_students_program_cannot_impersonate_the_cache(classroom: Classroom, tmp_path: Path) -> None:
    """Root's apt does not use it, and a student's program cannot reach the real one."""
    port = free_port()
    settings = {"apt_cache_port": port, "apt_cache_folder": tmp_path, "__system_apt_cache_seconds": 0}
    arguments = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    answer, ask = (f"/usr/bin/python3 -c {shlex.quote(code)} {port}" for code in (ANSWER, ASK))
    start = "systemd-run --quiet --collect --unit=impostor --property=User="

    def listens() -> bool:
        return str(port) in root(classroom, "ss --listening --tcp --numeric")

    try:
        root(classroom, f"{start}student {answer}")
        done = classroom.playbook("site", *arguments)
        assert (done.returncode, recap(done.stdout)[classroom.host].changed) == (0, 0)
        assert f"listens on port {port} of this Pi" in one_line(done.stderr)
        root(classroom, "systemctl stop impostor")
        classroom.run("site", *arguments)  # uses the cache, and closes its port to students
        root(classroom, f"{start}student {answer}")
        until(listens)
        assert "TimeoutError" in classroom.ssh(f"sudo {ask}").stderr
        root(classroom, "systemctl stop impostor")
        root(classroom, f"{start}root {answer}")
        until(listens)
        assert root(classroom, ask) == "406"
        assert "ConnectionRefusedError" in classroom.ssh(f"sudo runuser -u student -- {ask}").stderr
    finally:
        classroom.ssh("sudo systemctl stop impostor; sudo nft delete table ip mynn_pi")
