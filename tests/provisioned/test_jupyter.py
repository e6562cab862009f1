"""The notebook server."""

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
import websocket

from tests.provisioned.notebook_server import Kernel, NotebookServer, reason
from tests.provisioned.pi import Pi, Results

EXPOSURE = 1.6  # the highest score of `systemd-analyze security`; 10 is a service without any sandbox
PAUSE = 2  # seconds until a wrong password is refused

# Paths that need a password.
LOCKED = ["/tree", "/lab", "/start/", "/start/status", "/manual/", "/files/part2_neural_network_mnist_data.ipynb"]
LOCKED += [f"/api/{name}" for name in ("contents", "kernels", "kernelspecs", "sessions", "status", "terminals")]

# What a student's program might try to do to its own server, to the Pi and to others. It prints what it could do.
ESCAPE = """
import glob, json, os, pathlib, subprocess
done, server = [], os.getppid()
for path in "/etc/shadow", *glob.glob("/etc/jupyter/password*"), *glob.glob("/run/credentials/*/*"), "/root":
    if os.access(path, os.R_OK):
        done.append("read " + path)
for name in "environ", "mem", "maps", "fd/0":
    try:
        pathlib.Path(f"/proc/{server}/{name}").open("rb").close()
        done.append(f"read {name} of its server")
    except OSError:
        pass
done += [f"read the secret in {name}" for name in os.environ if "argon2" in os.environ[name]]
for folder in "/", "/etc", "/usr/local/bin", "/var/lib", "/opt/mynn", "/srv/mynn", "/boot", "/home", "/root":
    try:
        path = pathlib.Path(folder, "mynn-verify")
        path.write_text("")
        path.unlink()
        done.append("write to " + folder)
    except OSError:
        pass
for command in ["sudo", "-n", "true"], ["su", "-c", "true"], ["mount", "-t", "tmpfs", "none", "/mnt"]:
    try:
        if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0:
            done.append("run " + command[0])
    except OSError:
        pass
for folder in "/tmp", "/var/tmp", "/dev/shm", *glob.glob("/run/*/"), "/run":
    if os.access(folder, os.W_OK) and not os.path.islink(folder.rstrip("/")):
        place = os.statvfs(folder)
        if place.f_blocks * place.f_frsize > 64 << 20:
            done.append(f"fill the memory through {folder}")
        if folder.startswith("/run"):
            done.append(f"fill {folder}")
for path in "/var/cache/debconf/config.dat", "/var/lib/apt/lists", "/var/lib/dpkg/lock":
    if os.access(path, os.R_OK):
        done.append(f"block apt with a lock on {path}")
if os.access("/run/dbus/system_bus_socket", os.W_OK):
    done.append("use the system's D-Bus services")
if int(pathlib.Path("/proc/self/oom_score_adj").read_text()) < 500:
    done.append("outlive its server when memory is short")
print(json.dumps(done))
"""

# Print the folders of the server's packages, settings, data and templates that the user could write to or create.
WRITABLE = """
import os, pathlib, sys
import jupyter_core.paths as paths
path = [*sys.path, *paths.jupyter_config_path(), *paths.jupyter_path()]
print(*{str(part) for part in path for place in [pathlib.Path(part), *pathlib.Path(part).parents]
        if os.access(place, os.W_OK)}, sep=os.linesep)
"""


def started_at_boot(pi: Pi) -> str:
    """Return the unit of the first student's server or, with several students, of its socket."""
    return str(pi.settings.first["socket"] or pi.settings.first["unit"])


@pytest.fixture(scope="module")
def results(pi: Pi) -> Results:
    unit, hashed = pi.settings.first["unit"], pi.settings.first["hash_file"]
    main = f"$(systemctl show {unit} --property=MainPID --value)"
    environment = f"env HOME=/home/{pi.settings.student} $(systemctl show {unit} --property=Environment --value)"
    python = f"{pi.settings.venv}/bin/python -I -c {shlex.quote(WRITABLE)}"
    return pi.run(
        {
            "writable": f"runuser -u {pi.settings.student} -- {environment} {python}",
            "command": f"tr '\\0' ' ' </proc/{main}/cmdline",
            "score": f"cat /proc/{main}/oom_score_adj",
            "limits": f"systemctl show {unit} --property=TasksMax,MemoryMax,MemorySwapMax,KillMode",
            "enabled": f"systemctl is-enabled {started_at_boot(pi)}",
            "active": f"systemctl is-active {started_at_boot(pi)}",
            "user": f"ps -o user:32= -p {main}",
            "sudo": f"sudo -l -U {pi.settings.student}",
            "exposure": f"systemd-analyze security --no-pager {unit} | tail -n 1",
            "hash": f"stat --format='%U %a' {hashed} && head -c 16 {hashed}",
            "texts": "cat /etc/jupyter/*.py /etc/jupyter/password* /etc/systemd/system/jupyter*; "
            "journalctl --no-pager --output=cat --lines=3000 --unit='jupyter*'; "
            "journalctl --no-pager --output=cat --lines=3000 _COMM=sudo; "
            "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'",
        }
    )


@pytest.fixture
def stranger(pi: Pi) -> NotebookServer:
    """Somebody who has not signed in."""
    stranger = NotebookServer(pi.settings.url, pi.settings.authority)
    try:
        stranger.ask("GET", "/login")
    except requests.RequestException:
        pytest.skip("Its notebook server does not answer.")  # only the test of the sign-in page fails
    return stranger


@pytest.fixture(scope="module")
def student(pi: Pi) -> NotebookServer:
    """Somebody who has signed in."""
    student = NotebookServer(pi.settings.url, pi.settings.authority)
    with suppress(requests.RequestException):
        if student.sign_in(pi.settings.password):
            return student
    pytest.skip("Its password is refused.")


@pytest.fixture(scope="module")
def started(student: NotebookServer) -> Iterator[Kernel | str]:
    """A student's program, or the reason why none starts. It is shared, since a Pi Zero takes 20 s to start one."""
    with ExitStack() as stack:
        try:
            kernel = stack.enter_context(student.kernel())
            kernel.run("")
        except (requests.RequestException, websocket.WebSocketException, TimeoutError) as error:
            yield reason(error)
        else:
            yield kernel


@pytest.fixture
def kernel(started: Kernel | str) -> Kernel:
    """A student's program."""
    if isinstance(started, str):
        pytest.skip("No program can be started.")
    return started


def test_sign_in_page_is_shown(pi: Pi) -> None:
    """Its sign-in page can be reached from this computer."""
    try:
        page = NotebookServer(pi.settings.url, pi.settings.authority).ask("GET", "/login")
    except requests.RequestException as error:
        pytest.fail(f"Its notebook server does not answer at {pi.settings.url} ({reason(error)}).", pytrace=False)
    assert page.status_code == 200, f"Its sign-in page answers with status {page.status_code}."
    assert 'type="password"' in page.text, "Its sign-in page does not ask for a password."


def test_service_runs(pi: Pi, results: Results) -> None:
    """It runs as the student, and starts when the Pi is switched on."""
    unit = started_at_boot(pi)
    assert results["active"].text == "active", f"The unit {unit} is {results['active'].text}."
    assert results["enabled"].text == "enabled", f"The unit {unit} is {results['enabled'].text}, not enabled."
    assert results["user"].text == pi.settings.student, f"It runs as {results['user'].text}, not as the student."
    assert "not allowed" in results["sudo"].text, f"The student can use sudo: {results['sudo'].text}"


def test_wrong_password_is_refused(pi: Pi, stranger: NotebookServer) -> None:
    """It refuses wrong passwords, slowly, so that they cannot be guessed, and takes no token instead of one."""
    for wrong in ("", f"not {pi.settings.password}"):
        began = time.monotonic()
        assert not stranger.sign_in(wrong), "It accepts a wrong password."
        took = time.monotonic() - began
        assert took >= PAUSE, f"A wrong password is answered after {took:.1f} s, so a thousand can be tried quickly."
        assert stranger.ask("GET", "/api/contents").status_code == 403, "After a wrong password it shows the files."
    for token in ("", "token", pi.settings.password):
        in_url = stranger.ask("GET", "/api/contents", params={"token": token})
        in_header = stranger.ask("GET", "/api/contents", headers={"Authorization": f"token {token}"})
        assert _refused(in_url) and _refused(in_header), "It accepts a token instead of the password."


def test_nothing_is_shown_without_signing_in(stranger: NotebookServer, started: Kernel | str) -> None:
    """Without the password, nobody sees anything, or uses a student's program, or sends more than a password."""
    shown = [path for path in LOCKED if not _refused(stranger.ask("GET", path))]
    assert not shown, f"Anybody on the network can see {', '.join(shown)}."
    assert _refused(stranger.ask("POST", "/api/kernels")), "Anybody on the network can start programs."
    if isinstance(started, Kernel):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            stranger.connect(started.identity).close()
            pytest.fail("Anybody on the network can use a student's program.", pytrace=False)
    try:
        # The server ends this connection, so no later request may use it.
        status = stranger.ask("POST", "/login", data=bytes(1_000_000), headers={"Connection": "close"}).status_code
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return  # it closed the connection
    assert status in (400, 413), f"It accepts a megabyte from anybody on the network, and answers with status {status}."


def test_right_password_is_accepted(pi: Pi, stranger: NotebookServer) -> None:
    """It accepts its password."""
    assert stranger.sign_in(pi.settings.password), "The password that this computer keeps for it is refused."


def test_start_page_and_manual_are_shown(pi: Pi, student: NotebookServer) -> None:
    """It opens with the start page, which shows all lessons and the free memory; the manual is there, too."""
    first = student.ask("GET", "/").headers.get("Location", "").rstrip("?")
    assert first == "/start/", f"It opens with {first or 'no page'}, not with the start page: run site.yml."
    for path in ("/start/", "/manual/"):
        status = student.ask("GET", path).status_code
        assert status == 200, f"The page {path} answers with status {status}."
    shown = student.get("/start/status")
    names = {path.name for path in Path(pi.settings.lessons).glob("[!.]*.ipynb")}
    missing = names - {lesson["name"] for lesson in shown["lessons"]}
    assert not missing, f"On the start page, these lessons are missing: {', '.join(sorted(missing))}."
    memory = shown["memory"]
    assert 0 <= memory["free"] < memory["total"], f"The start page shows impossible figures for the memory: {memory}."


def test_the_page_try_is_there_for_everybody(stranger: NotebookServer) -> None:
    """The page *Try it* opens without the password, with its network and its digits."""
    for name, least in (("", 1), ("network.js", 1), ("network.bin", 50_000), ("digits.bin", 7_850_000)):
        answer = stranger.ask("GET", f"/try/{name}")
        assert answer.status_code == 200, (
            f"The page /try/{name} answers with status {answer.status_code}: run site.yml."
        )
        assert len(answer.content) >= least, f"The page /try/{name} has only {len(answer.content)} bytes."


def test_cell_runs(pi: Pi, started: Kernel | str) -> None:
    """A cell runs: it calculates with numpy, as the student."""
    assert isinstance(started, Kernel), (
        f"No program can be started ({started}): see `journalctl -u {pi.settings.first['unit']}`."
    )
    output = started.run("import numpy, getpass\nprint(getpass.getuser(), numpy.arange(10).sum())")
    assert not output.error, f"The cell ends with {output.error}"
    assert output.text.strip() == f"{pi.settings.student} 45", f"It prints {output.text.strip()}."


def test_programs_are_sandboxed(kernel: Kernel) -> None:
    """A student's program cannot become root, read secrets, look into its server or write to others' folders."""
    output = kernel.run(ESCAPE)
    assert not output.error, f"The cell ends with {output.error}"
    done = json.loads(output.text)
    assert not done, f"A student's program can {', '.join(done)}."


def test_programs_have_limits(results: Results) -> None:
    """A student's program cannot take all of the Pi's memory."""
    limits = dict(line.split("=", 1) for line in results["limits"].lines)
    without = [name for name in ("TasksMax", "MemoryMax", "MemorySwapMax") if limits[name] == "infinity"]
    assert not without, f"The student's programs have no limit: {', '.join(without)}."
    assert limits["KillMode"] == "mixed", "If its server crashes, the student's programs can take its port."
    score = results["score"]
    assert score.status or int(score.text) < 500, (  # a server that does not run has none
        f"If memory is short, its server is as likely to be killed as a program (oom_score_adj {score.text})."
    )


def test_students_cannot_change_its_server(pi: Pi, student: NotebookServer, results: Results) -> None:
    """Its server uses no package, setting or template that the student can change."""
    command, writable = results["command"].text, results["writable"]
    assert command.startswith(f"{pi.settings.venv}/bin/python -I "), f"Its server is not isolated: {command}"
    assert writable.status == 0, f"The folders of its server cannot be listed: {writable.text}"
    assert not writable.text, f"The student can change its server in {', '.join(writable.lines)}."


def test_sandbox_is_tight(results: Results, record_property: Callable[[str, object], None]) -> None:
    """Its sandbox is tight by systemd's own rating."""
    figure = re.search(r"([0-9.]+) [A-Z]+", results["exposure"].text)
    assert figure, f"systemd-analyze gives no score: {results['exposure'].text}"
    record_property("exposure", float(figure[1]))
    assert float(figure[1]) <= EXPOSURE, f"Its sandbox scores {figure[1]}; at most {EXPOSURE} is allowed."


def test_password_is_kept_as_a_hash(pi: Pi, results: Results) -> None:
    """Only a hash of its password (argon2) is kept, which only root can read."""
    assert results["hash"].status == 0, f"The password's hash is missing: {results['hash'].text}"
    owner, beginning = results["hash"].lines
    assert owner == "root 600", f"Its file belongs to {owner}, not root 600: others can read it."
    assert beginning.startswith("argon2:$argon2"), "Its file holds no argon2 hash."
    # Searched on this computer, since a search on the Pi would leave it in sudo's log.
    passwords = pi.settings.passwords.values()
    places = [line for line in results["texts"].lines if any(password in line for password in passwords)]
    assert not places, f"The password is readable on the Pi, in {len(places)} lines of settings, logs or arguments."


def test_it_restarts_after_a_crash(
    pi: Pi, student: NotebookServer, kernel: Kernel, record_property: Callable[[str, object], None]
) -> None:
    """After a crash, it restarts by itself."""
    # Last in this file, since the crash ends all programs: ours may end, but no student's.
    if others := [other for other in student.get("/api/kernels") if other["id"] != kernel.identity]:
        pytest.skip(f"{len(others)} of the student's programs would have ended.")
    main = f"systemctl show {pi.settings.first['unit']} --property=MainPID --value"
    before = pi.run({"pid": main, "kill": f"kill -9 $({main})"})
    assert before["kill"].status == 0, f"The service {pi.settings.first['unit']} is not running: {before['kill'].text}"
    start = time.monotonic()
    while not _responds(student) or pi.run({"pid": main})["pid"].text in ("0", before["pid"].text):
        assert time.monotonic() - start < 120, "It has not restarted two minutes after a crash."
        time.sleep(1)
    record_property("back_seconds", round(time.monotonic() - start, 1))
    student.session.close()  # whoever uses it next needs a new connection: the old ones ended with the server


def _responds(server: NotebookServer) -> bool:
    try:
        return server.ask("GET", "/login").status_code < 400
    except requests.RequestException:
        return False


def _refused(response: requests.Response) -> bool:
    to_sign_in = response.status_code == 302 and response.headers["Location"].startswith("/login")
    return to_sign_in or response.status_code == 403
