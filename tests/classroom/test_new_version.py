"""A Pi of the release before, with a term's work on it, becomes this version by `git pull` and `make site`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.classroom import ROOT, Classroom, recap, root, serves
from tests.support.programs import ANSIBLE_PLAYBOOK
from tests.virtual import Fleet

FIRST = "51013ec3"  # 0.1.0, which had no tag
LESSON = "part2_neural_network.ipynb"
WORK = f"mkdir -p 'mein Übungsheft'; echo mine >'mein Übungsheft/a file.txt'; echo ' ' >>{LESSON}"
SUMS = "find . -type f ! -path './.*' -exec sha256sum {} + | sort -k 2"


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, and return its output."""
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def last() -> str:
    """Return the commit of the release before this one."""
    tags = git(ROOT, "tag", "--merged", "HEAD~", "--list", "v*", "--sort=-v:refname").split()
    commit = tags[0] if tags else FIRST
    if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", commit], capture_output=True, check=False).returncode:
        pytest.skip(f"This clone lacks {commit}: git fetch --unshallow --tags")
    return commit


@pytest.fixture
def pi() -> Iterator[Classroom]:
    """A Pi before its first run of site.yml."""
    fleet = Fleet(ROOT / "build/virtual-version", address="127.77.23.0")
    fleet.down()
    fleet.up(1)
    yield Classroom(fleet)
    fleet.down()


def test_a_pi_of_the_last_release_keeps_its_work(pi: Classroom, last: str, tmp_path: Path) -> None:
    project = tmp_path / "mynn-pi"

    def play(name: str) -> int:
        """Run a playbook of the version in the project's folder, and return how much it changed."""
        command = [ANSIBLE_PLAYBOOK, "-i", str(pi.inventory), f"playbooks/{name}.yml"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=1800, check=False)
        print(done.stdout[-20000:], done.stderr[-5000:])
        assert done.returncode == 0
        return recap(done.stdout)[pi.host].changed

    def in_folder(script: str) -> str:
        return root(pi, 'cd /home/student/notebooks; runuser -u student -- sh -ec "$1"', script)

    git(ROOT, "clone", "--quiet", "--shared", str(ROOT), str(project))
    git(project, "checkout", "--quiet", last)
    play("site")
    in_folder(WORK)
    password, work = (project / "dist/passwords/pi-01").read_text(encoding="utf-8"), in_folder(SUMS)

    git(project, "checkout", "--quiet", git(ROOT, "rev-parse", "HEAD"))
    assert play("site") > 0
    assert (project / "dist/passwords/pi-01").read_text(encoding="utf-8") == password
    mine = [line for line in work.splitlines() if "mein " in line or line.endswith(LESSON)]
    assert len(mine) == 2 and not set(mine) - set(in_folder(SUMS).splitlines())
    assert serves(pi)
    play("verify")
    assert play("site") == 0
