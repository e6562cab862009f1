"""A notebook server with the settings that the role jupyter writes, run as its unit runs it, without the sandbox."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import requests

from ansible_collections.mynn.pi.plugins.filter import passwords
from mynn_control import wheels
from tests.provisioned.notebook_server import NotebookServer
from tests.support.classroom import until
from tests.support.ports import free_port
from tests.support.programs import ROOT
from tests.support.student import STUDENT, give_to_student

PASSWORD = "sunflower7"
# Root may read the memory of every process, so a server that runs as root could not show what a student may not do.
AS_STUDENT: dict[str, Any] = (
    {} if os.geteuid() else {"user": STUDENT.pw_uid, "group": STUDENT.pw_gid, "extra_groups": []}
)
# Code that a student might leave for the server to run. It leaves a trace and ends the server.
TRAP = "import pathlib, sys; pathlib.Path('{trace}').touch(); sys.exit('found')"


@dataclass
class Server:
    """A running server."""

    port: int
    home: Path
    trace: Path  # a file that appears if the server runs anything that the student left
    process: subprocess.Popen[bytes]
    hashed: bytes  # the password's hash
    home_at_start: set[Path]  # what was in the home at the start, outside the lessons' folder

    def in_home(self) -> set[Path]:
        """Return what is in the home now, outside the lessons' folder."""
        return {path for path in self.home.rglob("*") if not path.is_relative_to(self.home / "notebooks")}

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://localhost:{self.port}"

    def client(self) -> NotebookServer:
        """Return a client that has not signed in."""
        return NotebookServer(self.url)

    def student(self) -> NotebookServer:
        """Return a client that has signed in."""
        client = self.client()
        assert client.sign_in(PASSWORD)
        return client


def render_template(name: str, **settings: Any) -> str:
    """Return a template of the role, filled in as for a Pi with one student."""
    loader = jinja2.FileSystemLoader(ROOT / "roles/jupyter/templates")
    environment = jinja2.Environment(loader=loader, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["bool"] = bool
    usual: dict[str, Any] = {"jupyter_https": False, "jupyter_cull_seconds": 3600, "__jupyter_several": False}
    usual |= {"language": "en", "jupyter_memory_percent": 70}
    return environment.get_template(f"{name}.j2").render(usual | {"__jupyter_user": "student"} | settings)


def unit_setting(unit: str, name: str) -> list[str]:
    """Return the words of a setting in a unit's text, from each line that gives it."""
    return [word for value in re.findall(rf"^{name}=(.*)$", unit, re.M) for word in shlex.split(value)]


@contextmanager
def pi_venv() -> Iterator[Path]:
    """Make a virtual environment like a Pi's: it sees the system's packages, and has our wheels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", name], check=True)
        [packages] = folder.glob("lib/python*/site-packages")
        (packages / "all.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n", encoding="utf-8")
        for package in ("mynn", "mynn_server"):
            with zipfile.ZipFile(wheels.wheel(ROOT, package)) as wheel:
                wheel.extractall(packages)
        for shared in ("share", "etc"):
            (folder / shared).symlink_to(Path(sys.prefix, shared))
        yield folder


def set_traps(home: Path, venv: Path) -> Path:
    """Leave code in a home that the server must not run; return the file that appears if it does."""
    trace = home / "trace"
    [packages] = venv.glob("lib/python*/site-packages")
    own = home / ".local/lib" / packages.parent.name / "site-packages"
    traps = [folder / name for folder in (own, home / "notebooks") for name in ("tornado.py", "mynn_server.py")]
    traps += [folder / "jupyter_server_config.py" for folder in (home / ".jupyter", home / "notebooks")]
    for path in [*traps, own / "usercustomize.py"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TRAP.format(trace=trace), encoding="utf-8")
    kernel = home / ".local/share/jupyter/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text('{"argv": ["touch", "' + str(trace) + '"], "display_name": "trap"}', encoding="utf-8")
    # A server that opened one of these would hang for ever.
    for name in (".jupyter_cookie_secret", ".local/share/jupyter/notebook_secret"):
        os.mkfifo(home / name)
    return trace


@contextmanager
def run_server(
    venv: Path,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Run a server, with these variables in its environment and these settings of the role."""
    port = port or free_port()
    values = {"jupyter_port": port, "__python_venv": venv}
    values |= {name: f"/nowhere/{name}" for name in ("manual_archive", "lessons_pristine", "message_file")} | settings
    unit = render_template("jupyter.service", **values)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        home, config = folder / "home", folder / "etc/jupyter"
        for made in (home, folder / "tmp", config):
            made.mkdir(parents=True)
        trace = set_traps(home, venv)
        # A request may name its address: for the server, all of this computer's own are one.
        written = render_template("jupyter_server_config.py", **values) + "c.ServerApp.trust_xheaders = True\n"
        (config / "jupyter_server_config.py").write_text(written)
        hashed = str(passwords.jupyter_hash(PASSWORD, f"the salt of port {port:05}"))  # as no other server that runs
        (folder / "password").write_text(f"{hashed}\n")
        variables = dict(pair.split("=", 1) for pair in unit_setting(unit, "Environment"))
        variables = {key: re.sub("^/(tmp|dev)/", f"{folder}/tmp/", value) for key, value in variables.items()}
        variables |= {"HOME": str(home), "PATH": "/usr/bin", "JUPYTER_CONFIG_PATH": str(config), **(environment or {})}
        if not os.geteuid():
            for path in (home, folder / "tmp", *home.rglob("*")):
                give_to_student(path)
        with (folder / "password").open("rb") as secrets, (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                unit_setting(unit, "ExecStart"),
                stdin=secrets,
                stdout=log,
                stderr=log,
                cwd=unit_setting(unit, "WorkingDirectory")[0],
                env=variables,
                **AS_STUDENT,
            )
        server = Server(port, home, trace, process, hashed.encode(), set())
        server.home_at_start = server.in_home()
        try:
            until(lambda: answers(server))
            yield server
        finally:
            process.kill()
            process.wait()
            print((folder / "log").read_text(encoding="utf-8")[-5000:])


def answers(server: Server) -> bool:
    """Whether a server answers."""
    with suppress(requests.RequestException):
        return server.client().ask("GET", "/login", timeout=60).status_code == 200
    return False
