"""A classroom of virtual Pis and a teacher's commands, for the tests, the demo and the benchmarks."""

import os
import re
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.programs import ANSIBLE_PLAYBOOK, run_playbook
from tests.virtual import Board, Fleet
from tests.virtual.pi import Pi

ROOT = Path(__file__).resolve().parents[2]
PATIENTLY = {"ANSIBLE_TIMEOUT": "180"}  # on a busy host, a board may take a minute for a login or for sudo
HOST_SEEN_FROM_BOARD = "10.0.2.2"  # in QEMU's user-mode network


@dataclass(frozen=True)
class Recap:
    """Ansible's counts for one host."""

    ok: int
    changed: int
    unreachable: int
    failed: int


def recap(output: str) -> dict[str, Recap]:
    """Return the counts by host, from the recap at the end of a run."""
    line = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
    return {name: Recap(*map(int, counts)) for name, *counts in line.findall(output)}


def changed_tasks(output: str) -> set[str]:
    """Return the tasks and handlers that changed something, from the output of a run."""
    results = re.findall(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+\n((?:(?!TASK|RUNNING).*\n)*)", output, re.M)
    return {task for task, result in results if re.search(r"^changed: ", result, re.M)}


class BaseClassroom:
    """An inventory, the playbooks to run against it, and one Pi in it, `host`, to look at."""

    host: str
    own_inventory: Path | None = None

    @property
    def pi(self) -> Pi:
        """The Pi."""
        raise NotImplementedError

    @property
    def inventory(self) -> Path:
        """The path of the inventory."""
        return self.own_inventory or self.pi.state.inventory

    @property
    def address(self) -> str:
        """The Pi's address."""
        return self.pi.address

    def ssh(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the Pi as `pi`, which can use sudo."""
        return self.pi.ssh(command, timeout)

    @property
    def password(self) -> str:
        """The Pi's notebook password."""
        return self.password_of(self.host)

    def password_of(self, name: str) -> str:
        """Return a Pi's password from dist/passwords."""
        return (ROOT / "dist/passwords" / name).read_text(encoding="utf-8").strip()

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line that runs playbooks/NAME.yml."""
        return [ANSIBLE_PLAYBOOK, "-i", str(self.inventory), str(ROOT / f"playbooks/{name}.yml"), *arguments]

    def playbook(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 1800
    ) -> subprocess.CompletedProcess[str]:
        """Run playbooks/NAME.yml against the inventory."""
        return run_playbook(*self.command(name, *arguments)[1:], env=env, timeout=timeout)

    def run(self, name: str, *arguments: str, **options: Any) -> str:
        """Run a playbook, which must succeed, and return its output."""
        done = self.playbook(name, *arguments, **options)
        assert done.returncode == 0, f"{name}.yml failed"
        return done.stdout

    def fail(self, name: str, *arguments: str, **options: Any) -> str:
        """Run a playbook, which must fail, and return its output."""
        done = self.playbook(name, *arguments, **options)
        assert done.returncode != 0, f"{name}.yml succeeded"
        return done.stdout

    def changes(self, name: str, *arguments: str, **options: Any) -> dict[str, int]:
        """Run a playbook, which must succeed, and return how much it changed on each Pi."""
        return {pi: counts.changed for pi, counts in recap(self.run(name, *arguments, **options)).items()}


@dataclass(frozen=True)
class Classroom(BaseClassroom):
    """A fleet of containers, with the fleet's inventory or another one."""

    fleet: Fleet
    host: str = "pi-01"
    own_inventory: Path | None = None

    @property
    def pi(self) -> Pi:
        """The Pi."""
        return self.fleet.member(self.host)


def on(classroom: Classroom, name: str) -> Classroom:
    """Return the same classroom with another Pi to look at."""
    return replace(classroom, host=name)


def with_inventory(
    classroom: Classroom, folder: Path, *, pis: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Classroom:
    """Return the same classroom with an inventory that has more Pis, and more settings in the line of a Pi."""
    lines = classroom.inventory.read_text(encoding="utf-8").splitlines()
    lines = [f"{line} {(settings or {}).get(line.split(' ')[0], '')}".rstrip() for line in lines]
    begin = lines.index("[pis]") + 1
    inventory = folder / "inventory.ini"
    inventory.write_text("\n".join([*lines[:begin], *pis, *lines[begin:]]) + "\n", encoding="utf-8")
    return replace(classroom, own_inventory=inventory)


def one_line(output: str) -> str:
    """Return an output without its line breaks."""
    return " ".join(output.split())


def as_student(classroom: Classroom, script: str, name: str = "student") -> str:
    """Run Python as a student does in a notebook, but outside the sandbox, and return its output."""
    code = f"import os; os.chdir('/home/{name}/notebooks')\n{script}".encode().hex()
    python = f"env HOME=/home/{name} /opt/mynn/venv/bin/python -c \"exec(bytes.fromhex('{code}'))\""
    return root(classroom, f"runuser -u {name} -- {python}")


def serves(classroom: Classroom) -> bool:
    """Return whether the notebook server of a Pi shows its sign-in page, once it has started."""

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://{classroom.address}:8888/login", timeout=20).status == 200)
        except OSError:
            return False

    until(answers)
    return True


def root(classroom: Classroom, script: str, *arguments: str, timeout: float = 300) -> str:
    """Run a shell script as root on the Pi, with arguments, and return its output."""
    done = classroom.ssh(shlex.join(["sudo", "sh", "-c", script, "test", *arguments]), timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def until(done: Callable[[], bool], seconds: float = 600) -> None:
    """Wait until a condition holds: long enough for a computer that is a hundred times slower."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"This did not come true within {seconds:.0f} s."
        time.sleep(0.1)


class BoardClassroom(BaseClassroom):
    """A board. It has no name before its first boot, and generates its own password until site.yml sets one."""

    def __init__(self, board: Board) -> None:
        self.board = board

    @property
    def host(self) -> str:  # type: ignore[override]
        """The board's host name."""
        return self.board.name

    @property
    def pi(self) -> Pi:
        """The board."""
        return self.board

    @property
    def password(self) -> str:
        """The notebook password: the one that the Pi generated and wrote to its card, until site.yml sets another."""
        recorded = self.board.facts()["password"]
        return self.password_of(self.host) if recorded.startswith("was changed") else recorded

    def playbook(self, name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run playbooks/NAME.yml against the board, with longer timeouts."""
        options["env"] = PATIENTLY | options.get("env", {})
        return super().playbook(name, *arguments, **options)

    def output_of(self, command: str, timeout: float = 300) -> str:
        """Return the output of a command on the board, which must succeed."""
        done = self.ssh(command, timeout)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


def use_apt_sources(classroom: BoardClassroom, sources: str = "") -> None:
    """Give the board these lines of apt sources instead of its own, by default those that its image was built with.

    They are separated by ``|``, as in IMAGE_APT_SOURCES.
    """
    sources = sources or os.environ.get("IMAGE_APT_SOURCES", "").replace("127.0.0.1", HOST_SEEN_FROM_BOARD)
    if not sources:
        return
    text = sources.replace("|", "\n")
    classroom.output_of(
        f"echo '{text}' | sudo tee /etc/apt/sources.list >/dev/null; "
        "for file in /etc/apt/sources.list.d/*.sources; do [ -e $file ] && sudo mv $file $file.off; done; true"
    )
