"""A Pi as these tests see it: its settings, and many questions asked in one command."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.host import Host

END_OF_FIELD, END_OF_ANSWER = "\x1f", "\x1e"


@dataclass(frozen=True)
class Settings:
    """What playbooks/verify.yml says of a Pi: the settings that site.yml provisioned it with."""

    address: str
    user: str
    ssh: str  # the arguments that reach it, all but the account's key
    hostname: str
    venv: str
    mnist_folder: str
    mnist_files: dict[str, dict[str, Any]]
    pristine: str
    lessons: str
    students: dict[str, dict[str, Any]]  # by name, as the filter classroom_students gives them
    authority: str  # file with the certificate that the server's is checked against; empty for http
    passwords: dict[str, str] = field(repr=False)  # by student
    sudo_password: str = field(default="", repr=False)  # of the account; empty where sudo wants none

    @property
    def student(self) -> str:
        """The first student, who for most tests stands for all."""
        return next(iter(self.students))

    @property
    def folder(self) -> str:
        """The first student's folder."""
        return self.folder_of(self.student)

    @property
    def url(self) -> str:
        """Where the first student's notebooks are."""
        return self.url_of(self.student)

    @property
    def password(self) -> str:
        """The first student's password."""
        return self.passwords[self.student]

    @property
    def secrets(self) -> list[str]:
        """Every password, for who must keep them to himself."""
        return [secret for secret in (*self.passwords.values(), self.sudo_password) if secret]

    @property
    def service(self) -> str:
        """The unit of the first student's server."""
        return str(self.students[self.student]["unit"])

    @property
    def enabled(self) -> str:
        """The unit that comes up with the Pi: the server, or of several students, the first one's socket."""
        return str(self.students[self.student]["socket"] or self.service)

    @property
    def hash(self) -> str:
        """The file on the Pi with the hash of the first student's password."""
        return str(self.students[self.student]["hash_file"])

    def folder_of(self, student: str) -> str:
        """A student's folder."""
        return str(self.students[student]["folder"])

    def url_of(self, student: str) -> str:
        """Where a student's notebooks are."""
        return str(self.students[student]["url"])


@dataclass(frozen=True)
class Answer:
    """How a command on the Pi ended, and what it printed to its output and its error output."""

    status: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.splitlines()

    @property
    def sums(self) -> dict[str, str]:
        """The SHA256 sums of files by their name, where the command was sha256sum."""
        return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (.+)$", self.text, re.M)}


Answers = Mapping[str, Answer]


class Pi:
    """One Pi of the inventory."""

    def __init__(self, name: str, host: Host, settings: Settings) -> None:
        self.name = name
        self.host = host
        self.settings = settings
        self.greeted = False
        self.lost = ""  # why it cannot be asked any more

    def greet(self) -> None:
        """Find out whether this Pi can be asked at all; `lost` says why not."""
        self.greeted = True
        try:
            answer = self._as_root("true")
        except RuntimeError as error:
            self.lost = self._unreachable(error)
            return
        if answer.rc != 0:
            self.lost = (
                f"sudo on {self.name} wants the password of {self.settings.user or 'your account'}, and "
                f"{'does not take the one that was given' if self.settings.sudo_password else 'none was given'}. "
                "See “When sudo wants a password” in the manual."
            )

    def ask(self, questions: Mapping[str, str]) -> Answers:
        """Run each of the shell commands as root, all over one connection, and return what each came to by its name."""
        script = "cd /\n" + "".join(
            f"printf '%s\\037' {shlex.quote(name)}\n( {command}\n) </dev/null 2>&1\nprintf '\\037%d\\036' $?\n"
            for name, command in questions.items()
        )
        try:
            result = self._as_root(f"/bin/sh -c {shlex.quote(script)}")
        except RuntimeError as error:
            self.lost = self._unreachable(error)
            raise ConnectionError(self.lost) from None
        fields = [
            answer.split(END_OF_FIELD)
            for answer in result.stdout_bytes.decode("utf-8", "replace").split(END_OF_ANSWER)
            if answer
        ]
        answers = {name: Answer(int(status), text.strip()) for name, text, status in fields}
        if answers.keys() != questions.keys():
            raise ConnectionError(f"{self.name} did not answer all that was asked: {result.stderr.strip()}")
        return answers

    def as_student(self, command: str, student: str = "") -> str:
        """The command for `ask` that runs another one as a student, the first if no other is named."""
        return f"runuser -u {shlex.quote(student or self.settings.student)} -- /bin/sh -c {shlex.quote(command)}"

    def as_student_python(self, code: str) -> str:
        """The command for `ask` that runs a piece of Python as the student, in the Pi's environment."""
        return self.as_student(f"{self.settings.venv}/bin/python -c {shlex.quote(code)}")

    def _as_root(self, command: str) -> CommandResult:
        """Run a command through sudo. Its password goes in as input: an argument could be read in a list of processes.

        RuntimeError: the Pi is not reached.
        """
        password = self.settings.sudo_password
        if not password:
            return self.host.run(f"sudo -n {command}")
        # testinfra cannot give input, but knows how this Pi is reached.
        ssh = self.host.backend.ansible_runner.get_host(self.name).backend
        words, arguments = ssh._build_ssh_command(f"sudo -S -p '' {command}")
        line = ssh.quote(" ".join(words), *arguments)
        done = subprocess.run(line, shell=True, input=f"{password}\n".encode(), capture_output=True, check=False)
        result: CommandResult = ssh.result(done.returncode, line.encode(), done.stdout, done.stderr)
        if result.rc == 255:
            raise RuntimeError(result)
        return result

    def _unreachable(self, error: RuntimeError) -> str:
        said = getattr(error.args[0], "stderr", "").strip().splitlines()
        return (
            f"{self.name} cannot be reached over SSH at {self.settings.address} ({said[-1] if said else 'no answer'}). "
            "Is it switched on and in the network?"
        )


def project() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parents[2]
