"""A Pi under test: its settings, and shell commands, many of them over one connection."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.host import Host

from mynn_control.results import PiResult

END_OF_FIELD, END_OF_RECORD = "\x1f", "\x1e"


@dataclass(frozen=True)
class Settings:
    """The settings that site.yml provisioned a Pi with, from playbooks/verify.yml."""

    address: str
    user: str
    ssh: str  # SSH's arguments, without the account's key
    hostname: str
    venv: str
    mnist: str
    mnist_files: dict[str, dict[str, Any]]
    pristine: str
    lessons: str
    students: dict[str, dict[str, Any]]  # by name, as the filter classroom_students returns them
    authority: str  # the file with the certificate authority; empty for http
    passwords: dict[str, str] = field(repr=False)  # by student
    sudo_password: str = field(default="", repr=False)  # of the account; empty if sudo asks for none

    @property
    def student(self) -> str:
        """The first student, who stands for all in most tests."""
        return next(iter(self.students))

    @property
    def first(self) -> dict[str, Any]:
        """What belongs to the first student: folder, url, unit, socket, hash_file."""
        return self.students[self.student]

    @property
    def url(self) -> str:
        """The address of the first student's notebooks."""
        return str(self.first["url"])

    @property
    def password(self) -> str:
        """The first student's password."""
        return self.passwords[self.student]

    @property
    def secrets(self) -> list[str]:
        """Every password, to keep out of reports."""
        return [secret for secret in (*self.passwords.values(), self.sudo_password) if secret]


@dataclass(frozen=True)
class Result:
    """The exit status of a command on the Pi, and its output, including stderr."""

    status: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines of the output."""
        return self.text.splitlines()

    @property
    def sums(self) -> dict[str, str]:
        """The SHA256 sums by file name, if the command was sha256sum."""
        return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (.+)$", self.text, re.M)}


Results = Mapping[str, Result]


class Pi:
    """One Pi of the inventory, and what the tests found."""

    def __init__(self, name: str, host: Host, settings: Settings) -> None:
        self.name = name
        self.host = host
        self.settings = settings
        self.result = PiResult(name)
        self.lost = ""  # why it cannot be reached

    def contact(self) -> None:
        """Check that this Pi can be reached, and that sudo works; if not, `lost` says why."""
        # testinfra would ask the Pi for its encoding, by a command that it encodes first: with a key in /home/jürgen,
        # without end.
        self.host.backend.ansible_runner.get_host(self.name).backend._encoding = "UTF-8"
        try:
            result = self._as_root("true")
        except RuntimeError as error:
            self.lost = self._unreachable(error)
            return
        if result.rc != 0:
            self.lost = (
                f"sudo on {self.name} wants the password of {self.settings.user or 'your account'}, and "
                f"{'does not accept the one that was given' if self.settings.sudo_password else 'none was given'}. "
                "See “When sudo wants a password” in the manual."
            )

    def run(self, commands: Mapping[str, str]) -> Results:
        """Run shell commands as root, all over one connection, and return their results by name."""
        script = "cd /\n" + "".join(
            f"printf '%s\\037' {shlex.quote(name)}\n( {command}\n) </dev/null 2>&1\nprintf '\\037%d\\036' $?\n"
            for name, command in commands.items()
        )
        try:
            result = self._as_root(f"/bin/sh -c {shlex.quote(script)}")
        except RuntimeError as error:
            self.lost = self._unreachable(error)
            raise ConnectionError(self.lost) from None
        fields = [
            record.split(END_OF_FIELD)
            for record in result.stdout_bytes.decode("utf-8", "replace").split(END_OF_RECORD)
            if record
        ]
        results = {name: Result(int(status), text.strip()) for name, text, status in fields}
        if results.keys() != commands.keys():
            raise ConnectionError(f"{self.name} did not run all commands: {result.stderr.strip()}")
        return results

    def as_student(self, command: str, student: str = "") -> str:
        """Return a command for `run` that runs another one as a student, by default the first."""
        return f"runuser -u {shlex.quote(student or self.settings.student)} -- /bin/sh -c {shlex.quote(command)}"

    def as_student_python(self, code: str) -> str:
        """Return a command for `run` that runs Python code as the student, in the Pi's virtual environment."""
        return self.as_student(f"{self.settings.venv}/bin/python -c {shlex.quote(code)}")

    def _as_root(self, command: str) -> CommandResult:
        """Run a command with sudo. The password goes to stdin, since arguments show in the list of processes.

        Raises RuntimeError if the Pi cannot be reached.
        """
        password = self.settings.sudo_password
        if not password:
            return self.host.run(f"sudo -n {command}")
        # testinfra cannot pass stdin, but knows the SSH command for this Pi.
        ssh = self.host.backend.ansible_runner.get_host(self.name).backend
        words, arguments = ssh._build_ssh_command(f"sudo -S -p '' {command}")
        line = ssh.quote(" ".join(words), *arguments)
        done = subprocess.run(line, shell=True, input=f"{password}\n".encode(), capture_output=True, check=False)
        result: CommandResult = ssh.result(done.returncode, line.encode(), done.stdout, done.stderr)
        if result.rc == 255:
            raise RuntimeError(result)
        return result

    def _unreachable(self, error: RuntimeError) -> str:
        lines = getattr(error.args[0], "stderr", "").strip().splitlines() or ["no answer"]
        return (
            f"{self.name} cannot be reached over SSH at {self.settings.address} ({lines[-1]}). "
            "Check that it is switched on and on the network."
        )


def project() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parents[2]
