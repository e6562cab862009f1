"""A file that the Pi is known to have is not sent; any other is copied as Ansible's copy module does."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_of
from ansible_collections.mynn.pi.plugins.modules import pi_facts
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

TEXT = "# Written by mynn-pi's playbook: ü\n"


@dataclass
class Pi:
    """A folder that serves as a Pi."""

    folder: Path
    strategy: str

    def facts(self) -> dict[str, str]:
        """Return the facts about the files that the Pi would report."""
        return {path: state_of(Path(path)) for path in pi_facts.files([f"{self.folder}/**/*"])}

    def copy(self, facts: dict[str, str], *options: str, **arguments: str) -> dict[str, Any]:
        """Run the task with these facts; return its result."""
        (self.folder.parent / "vars.json").write_text(json.dumps({"__system_pi": {"files": facts}}))
        task = {"pi_copy": arguments, "register": "done"}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
        (self.folder.parent / "play.yml").write_text(json.dumps([play]))
        done = subprocess.run(
            [
                *(ANSIBLE_PLAYBOOK, f"{self.folder.parent}/play.yml"),
                *("-e", f"@{self.folder.parent}/vars.json", "-c", "local", "-i", "localhost,", *options),
            ],
            cwd=ROOT,
            env={
                **{"PATH": "/usr/bin:/bin", "HOME": str(self.folder.parent), "ANSIBLE_STRATEGY": self.strategy},
                **{"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
        return result


@pytest.fixture(params=["classroom", "linear"])  # our strategy, with mitogen, and stock Ansible's
def pi(request: pytest.FixtureRequest, tmp_path: Path) -> Pi:
    """A Pi with an empty folder."""
    (tmp_path / "root").mkdir()
    return Pi(tmp_path / "root", request.param)


def test_a_file_is_copied_once(pi: Pi) -> None:
    place = pi.folder / "settings"
    task = {"content": TEXT, "dest": str(place), "mode": "0640"}
    predicted = pi.copy(pi.facts(), "--check", "--diff", **task)
    assert (predicted["changed"], predicted["diff"][0]["after"], list(pi.folder.iterdir())) == (True, TEXT, [])
    assert pi.copy(pi.facts(), **task)["changed"]
    assert (place.read_text("utf-8"), place.stat().st_mode & 0o777) == (TEXT, 0o640)
    again = pi.copy(pi.facts(), **task)
    assert (again["changed"], again["known"]) == (False, True)
    unknown = pi.copy({}, **task)  # the Pi is asked
    assert (unknown["changed"], unknown.get("known")) == (False, None)


@pytest.mark.slow
def test_a_file_that_was_changed_on_the_pi_is_repaired(tmp_path: Path) -> None:
    """By another mode; other contents differ in their sum, and a link is no file."""
    pi = Pi(tmp_path / "root", "classroom")
    pi.folder.mkdir()
    place = pi.folder / "settings"
    place.write_text(TEXT, "utf-8")
    place.chmod(0o666)
    done = pi.copy(pi.facts(), content=TEXT, dest=str(place), mode="0644")
    assert "known" not in done
    assert place.stat().st_mode & 0o777 == 0o644


@pytest.mark.slow
def test_a_folder_is_known_if_each_of_its_files_is(tmp_path: Path) -> None:
    pi = Pi(tmp_path / "root", "classroom")
    pi.folder.mkdir()
    source = tmp_path / "source"
    (source / "within").mkdir(parents=True)
    for name in ("a", "within/b"):
        (source / name).write_text(name)
    task = {"src": f"{source}/", "dest": f"{pi.folder}/copy/", "mode": "0644", "directory_mode": "0755"}
    assert pi.copy(pi.facts(), **task)["changed"]
    assert (pi.folder / "copy/within/b").read_text() == "within/b"
    assert pi.copy(pi.facts(), **task).get("known")
    facts = pi.facts()
    del facts[f"{pi.folder}/copy/within/b"]
    again = pi.copy(facts, **task)
    assert (again["changed"], again.get("known")) == (False, None)
    one = {"src": f"{source}/a", "dest": f"{pi.folder}/copy/", "mode": "0644"}
    assert pi.copy(pi.facts(), **one).get("known")
