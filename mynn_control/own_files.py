"""Files that the desk writes, each beside one of the teacher's, which it leaves alone. Ansible reads both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from mynn.files import write_text
from mynn_control.words import _

HEAD = "# The desk writes this file, and what you write here is lost. Your own is {name} beside it.\n"
ALIAS = (yaml.AliasToken, yaml.AnchorToken)


class RefusedError(Exception):
    """Why nothing was changed, and what to do: a sentence for the teacher."""


def beside(path: Path) -> Path:
    """Return the desk's file beside one of the teacher's."""
    return path.with_suffix(".desk.yml")


def sources(inventory: Path) -> list[str]:
    """Return the files of the list of Pis: the teacher's inventory, and the desk's beside it, if there is one."""
    return [str(inventory), *(str(path) for path in [beside(inventory)] if path.exists())]


def listed(inventory: Path) -> InventoryManager:
    """Return what Ansible reads in the list of Pis."""
    return InventoryManager(DataLoader(), sources=sources(inventory))


def written(*paths: Path) -> list[int]:
    """Return when files were last written, in nanoseconds; 0 for one that is not there."""
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]


def dump(value: Any) -> str:
    """Return a value as YAML."""
    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000))


def parse(text: str) -> Any:
    """Return what YAML says. References are refused: with them, a short text can be a long value."""
    for token in yaml.scan(text):
        if isinstance(token, ALIAS):
            why = _("& and * have a meaning in YAML; put quotes around the text")
            raise yaml.MarkedYAMLError(problem=why, problem_mark=token.start_mark)
    return yaml.safe_load(text)


def place(path: Path, line: int) -> str:
    """Return where something stands, in words. line: 0 if it is not known."""
    return _("{path}, line {line}").format(path=path.name, line=line) if line else path.name


def read(path: Path, use: Callable[[str], Any] = parse) -> dict[str, Any]:
    """Return the table that a file's text says; an empty one if there is no file. RefusedError: it says none."""
    try:
        return dict(use(path.read_bytes().decode()) or {}) if path.exists() else {}
    except (yaml.YAMLError, LookupError, RecursionError, TypeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        wrong = _("{where} cannot be read: mend it by hand.")
        raise RefusedError(wrong.format(where=place(path, mark.line + 1 if mark else 0))) from error


def places(path: Path) -> dict[str, str]:
    """Return the settings in a file of the teacher's, each with where it stands, in words. RefusedError: as `read`."""
    return {name: place(path, line) for name, line in read(path, _lines).items()}


def _lines(text: str) -> dict[str, int]:
    tree = yaml.compose(text, yaml.SafeLoader)
    return {key.value: key.start_mark.line + 1 for key, _value in tree.value} if tree and tree.value else {}


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the desk's file beside one of the teacher's, `path`: whole, or not at all."""
    write_text(beside(path), HEAD.format(name=path.name) + dump(content), mode=0o600)  # it may have passwords


def take_over(path: Path, rest: str, content: dict[str, Any]) -> str:
    """Move what an earlier desk wrote into the teacher's file to its own. Returns what the teacher should know.

    rest: what stays. A power cut in between leaves it in both, where the teacher's counts.
    """
    old = path.with_name(f"{path.name}.old")
    shutil.copy2(path, old)
    write(path, content)
    write_text(path, rest)
    moved = _("What the desk wrote into {path} is now in {new}, a file of its own. {old} is a copy of what was there.")
    return moved.format(path=path.name, new=beside(path).name, old=old.name)
