"""What is wrong is refused with a sentence, and nothing is changed."""

from __future__ import annotations

import pytest

from tests.classroom.classroom import Classroom, recap
from tests.classroom.conftest import all_files


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("system_apt_lock_seconds=soon", ["system_apt_lock_seconds", "int"]),
        ("python_venv=[]", ["python_venv", "path"]),
        ("mnist_mirrors={}", ["mnist_mirrors", "list"]),
        ("mynn_venv=[]", ["mynn_venv", "path"]),
        ("notebooks_folder=[]", ["notebooks_folder", "path"]),
        ("jupyter_port=door", ["jupyter_port", "int"]),
        ("jupyter_https=perhaps", ["jupyter_https", "bool"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(classroom: Classroom, setting: str, words: list[str]) -> None:
    name, _, value = setting.partition("=")
    value = value if value[0] in "[{" else f'"{value}"'
    done = classroom.playbook("site", "-e", f'{{"{name}": {value}}}')
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert all(word in said for word in words)
    assert recap(done.stdout)["pi-01"].changed == 0


def test_a_full_card_is_refused_before_anything_is_changed(classroom: Classroom) -> None:
    before = all_files(classroom)
    done = classroom.playbook("site", "-e", "system_free_mb_again=99000000")
    assert done.returncode != 0
    assert "MB free on its card and needs 99000000 MB" in " ".join(done.stdout.split())
    assert all_files(classroom) == before


def test_another_operating_system_is_refused_before_anything_is_changed(classroom: Classroom) -> None:
    release = r'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n'
    try:
        # It is a link to /usr/lib, which stays as it is.
        classroom.ssh(f"sudo rm /etc/os-release; printf '{release}' | sudo tee /etc/os-release")
        before = all_files(classroom)
        done = classroom.playbook("site")
        assert done.returncode != 0
        assert "pi-01 runs Ubuntu 24.04 on amd64, and nothing was changed on it" in " ".join(done.stdout.split())
        assert all_files(classroom) == before
    finally:
        classroom.ssh("sudo ln -sf ../usr/lib/os-release /etc/os-release")
