"""What tests can import is pinned in requirements.txt, so that a new computer has it too."""

import re
import sysconfig
from importlib import metadata

from tests.support.programs import ROOT


def normal(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_only_what_is_pinned_is_installed() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = {normal(name) for name in re.findall(r"^([\w.-]+)==", text, re.M)}
    there = {normal(found.name) for found in metadata.distributions(path=[sysconfig.get_path("purelib")])}
    more = there - pinned - {"pip"}
    assert not more, f".venv also has {more}: add them to pyproject.toml and run `make lock`, or remove .venv"


def test_the_systems_packages_cannot_be_imported() -> None:
    """They differ from computer to computer."""
    assert "include-system-site-packages = false" in (ROOT / ".venv/pyvenv.cfg").read_text(encoding="utf-8")
