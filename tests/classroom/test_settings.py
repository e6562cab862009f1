"""A wrong setting, a wrong system or a full card is reported clearly, and nothing is changed on the Pi."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.classroom.conftest import all_files
from tests.support.classroom import Classroom, recap

WRONG = [
    ("system_free_mb_again=much", "system_free_mb_again", "int"),
    ('{"system_ssh_keys": {"teacher": 1}}', "system_ssh_keys", "list"),
    ('{"mnist_mirrors": {"teacher": 1}}', "mnist_mirrors", "list"),
    ("jupyter_port=web", "jupyter_port", "int"),
    ("jupyter_https=perhaps", "jupyter_https", "bool"),
]


@pytest.fixture
def refused(classroom: Classroom) -> Iterator[Callable[..., str]]:
    """Run site.yml, which must fail before it changes anything. Returns its output in one line."""
    before = all_files(classroom)

    def run(*arguments: str) -> str:
        done = classroom.playbook("site", *arguments)
        assert done.returncode != 0
        assert recap(done.stdout)["pi-01"].changed == 0
        return " ".join(done.stdout.split())

    yield run
    assert all_files(classroom) == before


@pytest.mark.parametrize(("setting", "name", "allowed"), WRONG)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    refused: Callable[..., str], setting: str, name: str, allowed: str
) -> None:
    assert re.search(rf"'{name}' is of type .* unable to convert to {allowed}", refused("-e", setting))


@pytest.mark.parametrize(
    ("release", "named"),
    [
        ("ID=debian VERSION_ID=11 VERSION_CODENAME=bullseye PRETTY_NAME=Debian-11", "Debian-11"),
        ("ID=ubuntu VERSION_ID=24.04 VERSION_CODENAME=noble PRETTY_NAME=Ubuntu-24.04", "Ubuntu-24.04"),
    ],
)
def test_another_system_is_refused(classroom: Classroom, refused: Callable[..., str], release: str, named: str) -> None:
    """The Pi has another system's os-release."""
    lines = "\\n".join(release.split())
    classroom.ssh(f"printf '{lines}\\n' > /tmp/os-release; sudo mount --bind /tmp/os-release /usr/lib/os-release")
    try:
        output = refused()
    finally:
        classroom.ssh("sudo umount /usr/lib/os-release")
    assert f"pi-01 runs {named} on amd64, and nothing was changed on it: flash its card with" in output


def test_a_full_card_is_refused(classroom: Classroom, refused: Callable[..., str]) -> None:
    assert "MB free on its card and needs 99999999 MB, so nothing was changed on it" in refused(
        "-e", "system_free_mb_again=99999999"
    )
