"""The notebook server with the settings that the role jupyter writes, run as its unit runs it, without the sandbox."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.mynn.pi.plugins.filter import passwords
from tests.provisioned.notebook_server import NotebookServer
from tests.support.ports import free_port

ROLE = Path(__file__).resolve().parents[3] / "roles/jupyter"
PASSWORD = "sunflower7"
# Where root runs the tests: who may read the memory of every program, cannot show that a student may not.
NOBODY: dict[str, Any] = {} if os.geteuid() else {"user": 65534, "group": 65534, "extra_groups": []}
# What a student might leave for the server to find. Each of these would say so, and end it.
TRACE = "import pathlib, sys; pathlib.Path('{trace}').touch(); sys.exit('found')"
# What a program of the student's might read of its server. It prints what it could.
CURIOUS = """
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
    """A server that runs."""

    port: int
    home: Path
    trace: Path  # a file that appears when something of the student's is run by the server
    process: subprocess.Popen[bytes]
    scheme: str = "http"
    authority: str = ""
    hashed: bytes = b""  # the password's hash
    left: frozenset[Path] = frozenset()  # what was in the home, beside the folder with the lessons, when it was started

    def in_home(self) -> set[Path]:
        """What is there now."""
        return {path for path in self.home.rglob("*") if not path.is_relative_to(self.home / "notebooks")}

    @property
    def url(self) -> str:
        """Where its page is."""
        return f"{self.scheme}://localhost:{self.port}"

    def client(self) -> NotebookServer:
        """Return somebody who has not signed in."""
        return NotebookServer(self.url, self.authority)

    def student(self) -> NotebookServer:
        """Return somebody who has."""
        client = self.client()
        assert client.sign_in(PASSWORD)
        return client


def rendered(name: str, **settings: Any) -> str:
    """Return a template of the role, filled in as for a Pi with one student."""
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["bool"] = bool
    usual: dict[str, Any] = {"jupyter_https": False, "jupyter_cull_seconds": 3600, "__jupyter_several": False}
    usual |= {"__jupyter_user": "student", "__jupyter_program": ROLE / "files/serve.py"}
    return environment.from_string((ROLE / f"templates/{name}.j2").read_text(encoding="utf-8")).render(usual | settings)


def of_unit(unit: str, name: str) -> list[str]:
    """Return the words of a unit's setting, wherever it is given."""
    return [word for value in re.findall(rf"^{name}=(.*)$", unit, re.M) for word in shlex.split(value)]


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment like a Pi's, which has the system's packages, and so a user's own as well."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", name], check=True)
        [packages] = folder.glob("lib/python*/site-packages")
        (packages / "all.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n", encoding="utf-8")
        for shared in ("share", "etc"):
            (folder / shared).symlink_to(Path(sys.prefix, shared))
        yield folder


def leave_traps(home: Path, venv: Path) -> Path:
    """Leave in a home what the server must not run; return the file that tells that it did."""
    trace = home / "trace"
    trap = TRACE.format(trace=trace)
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
    # A server that opens one of these waits for ever.
    for name in (".jupyter_cookie_secret", ".local/share/jupyter/notebook_secret"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(home / name)
    return trace


@contextmanager
def server(
    venv: Path,
    listening: socket.socket | None = None,
    certificate: bytes = b"",
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Run a server: at a port of its own, or where several students are, at a socket that is handed on."""
    port = listening.getsockname()[1] if listening else port or free_port()
    values = {"jupyter_port": port, "python_venv": venv, "jupyter_https": bool(certificate)}
    values |= {"manual_archive": "/nowhere/manual.zip", "start_page_archive": "/nowhere/start.zip"}
    values |= {"lessons_pristine": "/nowhere", "message_file": "/nowhere/message"} | settings
    values["__jupyter_several"] = listening is not None
    unit = rendered("jupyter.service", **values)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = folder / "home"
        home.mkdir()
        trace = leave_traps(home, venv)
        (folder / "tmp").mkdir()
        config = folder / "etc/jupyter"
        config.mkdir(parents=True)
        (config / "jupyter_server_config.py").write_text(rendered("jupyter_server_config.py", **values))
        hashed = str(passwords.jupyter_hash(PASSWORD, uuid.uuid4().hex[:22]))  # as no other server's
        (folder / "password").write_bytes(f"{hashed}\n".encode() + certificate)
        of_it = dict(pair.split("=", 1) for pair in of_unit(unit, "Environment"))
        of_it = {key: value.replace("/tmp/", f"{folder}/tmp/") for key, value in of_it.items()}
        of_it |= {"HOME": str(home), "PATH": "/usr/bin", "JUPYTER_CONFIG_PATH": str(config), **(environment or {})}
        if listening:
            of_it["LISTEN_FDS"] = "1"
        if not os.geteuid():
            for path in (home, folder / "tmp", *home.rglob("*")):
                os.chown(path, 65534, 65534)
        ready = None
        if listening:

            def ready() -> None:
                os.dup2(listening.fileno(), 3)

        with (folder / "password").open("rb") as secrets, (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                of_unit(unit, "ExecStart"),
                stdin=secrets,
                stdout=said,
                stderr=said,
                cwd=of_unit(unit, "WorkingDirectory")[0].replace("/home/student", str(home)),
                env=of_it,
                close_fds=False,
                preexec_fn=ready,
                **NOBODY,
            )
        try:
            one = Server(port, home, trace, process, "https" if certificate else "http")
            one.hashed = hashed.encode()
            one.left = frozenset(one.in_home())
            if certificate:
                one.authority = str(folder / "authority")
                Path(one.authority).write_bytes(certificate)
            wait_for(one, folder / "said")
            yield one
        finally:
            process.kill()
            process.wait()
            print((folder / "said").read_text(encoding="utf-8")[-5000:])


def wait_for(one: Server, said: Path) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + 90
    while time.monotonic() < end and one.process.poll() is None:
        try:
            if one.client().ask("GET", "/login", timeout=10).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.2)
    pytest.fail(f"The server does not answer: {said.read_text(encoding='utf-8')[-3000:]}")


@pytest.fixture(scope="module")
def one(venv: Path) -> Iterator[Server]:
    """An only student's server."""
    with server(venv) as running:
        yield running


def test_nothing_of_the_students_is_run_by_the_server(one: Server) -> None:
    """Neither packages in the home, nor settings there or beside the notebooks; nor does anything there hold it up."""
    student = one.student()
    student.get("/api/contents")
    body = {"type": "notebook", "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}
    assert student.ask("PUT", "/api/contents/mine.ipynb", json=body).status_code == 201
    assert student.get("/api/contents/mine.ipynb")["content"]["cells"] == []
    assert not one.trace.exists()


def test_nothing_of_a_template_of_the_students_is_run(one: Server) -> None:
    """A notebook that is shown as a page is shown by templates, which are programs."""
    template = one.home / "notebooks/nbconvert/templates/lab"
    template.mkdir(parents=True)
    (template / "conf.json").write_text('{"base_template": "base"}', encoding="utf-8")
    (template / "index.html.j2").write_text("TRAPPED", encoding="utf-8")
    other = one.home / "notebooks/lab"
    other.mkdir()
    for path in template.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    student = one.student()
    body = {"type": "notebook", "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}
    student.ask("PUT", "/api/contents/shown.ipynb", json=body)
    page = student.ask("GET", "/nbconvert/html/shown.ipynb")
    assert page.status_code == 200
    assert "TRAPPED" not in page.text


def test_a_program_cannot_look_into_its_server(one: Server) -> None:
    """And where memory is short, it is ended first. It starts although the student's own packages are broken."""
    with one.student().kernel() as kernel:
        output = kernel.run(CURIOUS)
        assert not output.error
        found = json.loads(output.text)
        assert (found["read"], found["secrets"]) == ([], [])
        assert found["folder"] == str(one.home / "notebooks")
        mine, its = found["scores"]
        assert its == min(mine + 500, 1000)
        assert kernel.run("import tornado; print(tornado.__file__)").text.startswith(sys.prefix)
    assert not one.trace.exists()


def test_it_writes_nothing_into_the_home(one: Server) -> None:
    """Or every reset would find something to clear away. Nor does a program that only prints."""
    student = one.student()
    student.get("/api/contents")
    with student.kernel() as kernel:
        assert kernel.run("print(1)").text == "1\n"
    assert one.in_home() == one.left


def is_taken(one: Server, size: int, path: str, cookie: str = "") -> bool:
    """Send a stranger's request of so many bytes; whether all of it is taken, whatever the answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:{one.port}\r\nCookie: {cookie}\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", one.port), timeout=20) as connection:
        try:
            connection.sendall(head.encode())
            for _ in range(0, min(size, 50_000_000), 50_000):
                connection.sendall(bytes(50_000))
            answer = connection.recv(100)
        except ConnectionError:
            return False
    return b" 400 " not in answer and answer != b""


@pytest.mark.parametrize("path", ["/login", "/api/contents/large.txt"])
def test_a_stranger_cannot_fill_the_memory(one: Server, path: str) -> None:
    """What is too long is refused once its length is known, and is never held in memory."""
    forged = f"username-localhost-{one.port}=2|1:0|10:1|8:username|4:e30=|{64 * '0'}"
    assert is_taken(one, 50_000, path)
    assert not is_taken(one, 480_000_000, path)
    assert not is_taken(one, 10_000_000, path)
    assert not is_taken(one, 10_000_000, path, forged)


def test_a_student_may_save_what_is_large(one: Server) -> None:
    body = {"type": "file", "format": "text", "content": "x" * 20_000_000}
    assert one.student().ask("PUT", "/api/contents/large.txt", json=body).status_code == 201


def test_what_does_not_fit_into_memory_is_not_shown(one: Server) -> None:
    """MNIST's training digits are 110 MB, and one click away in mnist_dataset."""
    with (one.home / "notebooks/mnist_train.csv").open("wb") as file:
        file.truncate(110_000_000)
    answer = one.student().ask("GET", "/api/contents/mnist_train.csv")
    assert answer.status_code == 413
    assert answer.json()["message"].startswith("mnist_train.csv is too large to be shown: ")
    assert one.student().get("/api/contents/mnist_train.csv?content=0")["size"] == 110_000_000
    (one.home / "notebooks/mnist_train.csv").unlink()


def give(one: Server, source: str, word: str) -> socket.socket:
    """Give a password from another address of this computer; return the connection that will have the answer."""
    client = one.client()
    client.ask("GET", "/login")
    against = client.session.cookies["_xsrf"]
    form = f"password={word}&_xsrf={against}"
    head = f"POST /login HTTP/1.1\r\nHost: localhost:{one.port}\r\nConnection: close\r\nCookie: _xsrf={against}\r\n"
    head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", one.port), timeout=60, source_address=(source, 0))
    connection.sendall(f"{head}{form}".encode())
    return connection


def sign_in_from(one: Server, source: str, word: str) -> float:
    """Sign in from another address of this computer; return how many seconds that takes."""
    began = time.monotonic()
    with give(one, source, word) as connection:
        assert (b" 302 " if word == PASSWORD else b" 401 ") in connection.recv(100)
    return time.monotonic() - began


def test_guessing_takes_time_and_locks_nobody_out(one: Server) -> None:
    """Wrong passwords are looked at one after the other, however many come at a time; the right one has its turn."""
    with ThreadPoolExecutor(4) as four:
        began = time.monotonic()
        guesses = [four.submit(sign_in_from, one, "127.0.0.2", f"guess{number}") for number in range(3)]
        time.sleep(0.5)
        assert sign_in_from(one, "127.0.0.3", PASSWORD) < 2  # from elsewhere: at once
        sign_in_from(one, "127.0.0.2", PASSWORD)  # from there: after the guesses
        for guess in guesses:
            guess.result()
        assert time.monotonic() - began > 6
    assert sign_in_from(one, "127.0.0.2", PASSWORD) < 2


def test_no_more_wait_than_there_is_room_for(one: Server) -> None:
    """A class may mistype all at a time; who comes after that is told so, and does not wait."""
    class_of_thirty = [give(one, "127.0.0.4", f"guess{number}") for number in range(30)]
    others = [give(one, "127.0.0.4", f"guess{number}") for number in range(6)]
    began = time.monotonic()
    assert b" 429 " in others[-1].recv(100)
    assert time.monotonic() - began < 2
    assert b" 401 " in class_of_thirty[0].recv(100)
    for connection in class_of_thirty + others:
        connection.close()


def certificate() -> bytes:
    """Return a certificate of `localhost`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain + made.public_bytes(pem)


def test_several_students_server_takes_the_socket_and_its_certificate(venv: Path) -> None:
    """Which systemd hands on: who has signed in need not again when it was ended and started."""
    both = certificate()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with server(venv, listening, both) as first:
            student = first.student()
            assert student.get("/api/contents")["content"]
            with student.kernel() as kernel:
                assert kernel.run("import os; print(os.environ.get('LISTEN_FDS'))").text == "None\n"
        with server(venv, listening, both) as second:
            student.authority = student.session.verify = second.authority
            assert student.get("/api/contents")["content"]
