"""A malicious student's program on a Pi does not deceive a playbook."""

import shlex
from pathlib import Path

from tests.support.classroom import Classroom, one_line, recap, root, until
from tests.support.ports import free_port

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
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=int(sys.argv[2]))
connection.request("HEAD", "/")
print(connection.getresponse().status)
"""


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
        assert "TimeoutError" in classroom.ssh(f"sudo {ask} 5").stderr
        root(classroom, "systemctl stop impostor")
        root(classroom, f"{start}root {answer}")
        until(listens)
        assert root(classroom, f"{ask} 60") == "406"
        assert "ConnectionRefusedError" in classroom.ssh(f"sudo runuser -u student -- {ask} 60").stderr
    finally:
        classroom.ssh("sudo systemctl stop impostor; sudo nft delete table ip mynn_pi")
