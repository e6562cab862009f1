"""A file that the Pi is known to have is not sent; any other is copied as Ansible's copy module does."""

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.file_state import state_of
from ansible_collections.mynn.pi.plugins.modules.pi_facts import files
from tests.support.programs import run_playbook

TEXT = "# Written by mynn-pi's playbook: ü\n"


def run(folder: Path, *tasks: dict[str, Any]) -> list[tuple[bool, bool]]:
    """Run tasks on this computer; return whether each changed it, and whether it sent nothing."""
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    environment = {"HOME": str(folder), "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    done = run_playbook(f"{folder}/play.yml", "-c", "local", "-i", "localhost,", env=environment)
    assert done.returncode == 0
    results = [task["hosts"]["localhost"] for task in json.loads(done.stdout)["plays"][0]["tasks"]]
    return [(result["changed"], result.get("known", False)) for result in results]


@pytest.mark.slow
def test_only_files_that_the_pi_is_not_known_to_have_are_sent(tmp_path: Path) -> None:
    source, pi = tmp_path / "source", tmp_path / "pi"
    for folder in (source / "within", pi):
        folder.mkdir(parents=True)
    (source / "within/b").write_text("within/b")

    def copies(there: dict[str, str], check: bool = False) -> list[dict[str, Any]]:
        common = {"check_mode": check, "vars": {"__system_pi": {"files": there}}}
        settings = {"content": TEXT, "dest": f"{pi}/settings", "mode": "0640"}
        folder = {"src": f"{source}/", "dest": f"{pi}/copy/", "mode": "0644", "directory_mode": "0755"}
        return [{"pi_copy": arguments, **common} for arguments in (settings, folder)]

    predicted = run(tmp_path, *copies({}, check=True))
    assert list(pi.iterdir()) == []
    done = run(tmp_path, *copies({}), *copies({}))
    assert (predicted, done) == ([(True, False)] * 2, [(True, False)] * 2 + [(False, False)] * 2)
    assert ((pi / "settings").read_text("utf-8"), (pi / "settings").stat().st_mode & 0o777) == (TEXT, 0o640)
    assert (pi / "copy/within/b").read_text() == "within/b"
    known = {path: state_of(Path(path)) for path in files([f"{pi}/**/*"])}
    (pi / "settings").chmod(0o666)
    changed = {**known, f"{pi}/settings": state_of(pi / "settings")}
    del changed[f"{pi}/copy/within/b"]
    assert run(tmp_path, *copies(known), *copies(changed)) == [(False, True)] * 2 + [(True, False), (False, False)]
    assert (pi / "settings").stat().st_mode & 0o777 == 0o640
