"""A notebook server with the settings that the role jupyter writes, run as its unit runs it, without the sandbox."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import requests

from ansible_collections.mynn.pi.plugins.filter import passwords
from tests.provisioned.notebook_server import NotebookServer
from tests.support.ports import free_port
from tests.support.programs import ROOT
from tests.support.student import STUDENT, give_to_student

ROLE = ROOT / "roles/jupyter"
PASSWORD = "sunflower7"
# Root may read the memory of every process, so a server that runs as root could not show what a student may not do.
AS_STUDENT: dict[str, Any] = (
    {} if os.geteuid() else {"user": STUDENT.pw_uid, "group": STUDENT.pw_gid, "extra_groups": []}
)
# Code that a student might leave for the server to run. It leaves a trace and ends the server.
TRAP = "import pathlib, sys; pathlib.Path('{trace}').touch(); sys.exit('found')"
# A student's program that tries to read from the process that started it, and prints what it could read.
SPY = """
import os, json, pathlib
read = []
for name in "environ", "mem", "maps", "fd/0", "auxv":
    try:
        pathlib.Path(f"/proc/{os.getppid()}/{name}").open("rb").close()
        read.append(name)
    except OSError:
        pass
scores = [pathlib.Path(f"/proc/{process}/oom_score_adj").read_text() for process in (os.getppid(), "self")]
folder = os.getcwd()
secrets = [value for value in os.environ.values() if "argon2" in value]
print(json.dumps({"read": read, "secrets": secrets, "folder": folder, "scores": [int(score) for score in scores]}))
"""


@dataclass
class Server:
    """A running server."""

    port: int
    home: Path
    trace: Path  # a file that appears if the server runs anything that the student left
    process: subprocess.Popen[bytes]
    scheme: str = "http"
    authority: str = ""
    hashed: bytes = b""  # the password's hash
    home_at_start: frozenset[Path] = frozenset()  # what was in the home at the start, outside the lessons' folder

    def in_home(self) -> set[Path]:
        """Return what is in the home now, outside the lessons' folder."""
        return {path for path in self.home.rglob("*") if not path.is_relative_to(self.home / "notebooks")}

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{self.scheme}://localhost:{self.port}"

    def client(self) -> NotebookServer:
        """Return a client that has not signed in."""
        return NotebookServer(self.url, self.authority)

    def student(self) -> NotebookServer:
        """Return a client that has signed in."""
        client = self.client()
        assert client.sign_in(PASSWORD)
        return client


def render_template(name: str, **settings: Any) -> str:
    """Return a template of the role, filled in as for a Pi with one student."""
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["bool"] = bool
    usual: dict[str, Any] = {"jupyter_https": False, "jupyter_cull_seconds": 3600, "__jupyter_several": False}
    usual |= {"__jupyter_user": "student", "__jupyter_program": ROLE / "files/serve.py"}
    return environment.from_string((ROLE / f"templates/{name}.j2").read_text(encoding="utf-8")).render(usual | settings)


def unit_setting(unit: str, name: str) -> list[str]:
    """Return the words of a setting in a unit's text, from each line that gives it."""
    return [word for value in re.findall(rf"^{name}=(.*)$", unit, re.M) for word in shlex.split(value)]


@contextmanager
def pi_venv() -> Iterator[Path]:
    """Make a virtual environment like a Pi's: it sees the system's packages, and so the user's own as well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", name], check=True)
        [packages] = folder.glob("lib/python*/site-packages")
        (packages / "all.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n", encoding="utf-8")
        for shared in ("share", "etc"):
            (folder / shared).symlink_to(Path(sys.prefix, shared))
        yield folder


def set_traps(home: Path, venv: Path) -> Path:
    """Leave code in a home that the server must not run; return the file that appears if it does."""
    trace = home / "trace"
    trap = TRAP.format(trace=trace)
    [packages] = venv.glob("lib/python*/site-packages")
    own = home / ".local/lib" / packages.parent.name / "site-packages"
    for path in own / "usercustomize.py", own / "tornado.py", home / ".jupyter/jupyter_server_config.py":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(trap, encoding="utf-8")
    (home / "notebooks").mkdir()
    for name in ("tornado.py", "jupyter_server_config.py"):
        (home / "notebooks" / name).write_text(trap, encoding="utf-8")
    kernel = home / ".local/share/jupyter/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text('{"argv": ["touch", "' + str(trace) + '"], "display_name": "trap"}', encoding="utf-8")
    # A server that opened one of these would hang for ever.
    for name in (".jupyter_cookie_secret", ".local/share/jupyter/notebook_secret"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(home / name)
    return trace


@contextmanager
def run_server(
    venv: Path,
    listening: socket.socket | None = None,
    certificate: bytes = b"",
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Run a server: at its own port or, as for several students, on a listening socket that it is handed."""
    port = listening.getsockname()[1] if listening else port or free_port()
    values = {"jupyter_port": port, "python_venv": venv, "jupyter_https": bool(certificate)}
    values |= {"manual_archive": "/nowhere/manual.zip", "start_page_archive": "/nowhere/start.zip"}
    values |= {"lessons_pristine": "/nowhere", "message_file": "/nowhere/message"} | settings
    values["__jupyter_several"] = listening is not None
    unit = render_template("jupyter.service", **values)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = folder / "home"
        home.mkdir()
        trace = set_traps(home, venv)
        (folder / "tmp").mkdir()
        config = folder / "etc/jupyter"
        config.mkdir(parents=True)
        (config / "jupyter_server_config.py").write_text(render_template("jupyter_server_config.py", **values))
        hashed = str(passwords.jupyter_hash(PASSWORD, f"the salt of port {port:05}"))  # as no other server that runs
        (folder / "password").write_bytes(f"{hashed}\n".encode() + certificate)
        variables = dict(pair.split("=", 1) for pair in unit_setting(unit, "Environment"))
        variables = {key: value.replace("/tmp/", f"{folder}/tmp/") for key, value in variables.items()}
        variables |= {"HOME": str(home), "PATH": "/usr/bin", "JUPYTER_CONFIG_PATH": str(config), **(environment or {})}
        if listening:
            variables["LISTEN_FDS"] = "1"
        if not os.geteuid():
            for path in (home, folder / "tmp", *home.rglob("*")):
                give_to_student(path)
        hand_over_socket = None
        if listening:

            def hand_over_socket() -> None:
                os.dup2(listening.fileno(), 3)

        with (folder / "password").open("rb") as secrets, (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                unit_setting(unit, "ExecStart"),
                stdin=secrets,
                stdout=log,
                stderr=log,
                cwd=unit_setting(unit, "WorkingDirectory")[0].replace("/home/student", str(home)),
                env=variables,
                close_fds=False,
                preexec_fn=hand_over_socket,
                **AS_STUDENT,
            )
        try:
            server = Server(port, home, trace, process, "https" if certificate else "http", hashed=hashed.encode())
            server.home_at_start = frozenset(server.in_home())
            if certificate:
                server.authority = str(folder / "authority")
                Path(server.authority).write_bytes(certificate)
            wait_until_it_answers(server, folder / "log")
            yield server
        finally:
            process.kill()
            process.wait()
            print((folder / "log").read_text(encoding="utf-8")[-5000:])


def wait_until_it_answers(server: Server, log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if server.client().ask("GET", "/login", timeout=10).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.2)
    pytest.fail(f"The server does not answer: {log.read_text(encoding='utf-8')[-3000:]}")
