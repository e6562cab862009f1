"""Settings files (YAML) that the desk writes beside the teacher's files, which it leaves alone. Ansible reads both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from mynn.files import write_text
from mynn_control.translation import _

HEAD = "# The desk writes this file, and what you write here is lost. Your own is {name} beside it.\n"
ALIAS = (yaml.AliasToken, yaml.AnchorToken)


class RefusedError(Exception):
    """Nothing was changed; the message tells the teacher why, and what to do."""


def desk_file(path: Path) -> Path:
    """Return the path of the desk's file beside a teacher's file."""
    return path.with_suffix(".desk.yml")


def sources(inventory: Path) -> list[str]:
    """Return the inventory's files: the teacher's file, and the desk's file beside it if it exists."""
    return [str(inventory), *(str(path) for path in [desk_file(inventory)] if path.exists())]


def load_inventory(inventory: Path) -> InventoryManager:
    """Return the inventory as Ansible reads it."""
    return InventoryManager(DataLoader(), sources=sources(inventory))


def modified(*paths: Path) -> list[int]:
    """Return the files' modification times, in nanoseconds; 0 for a missing file."""
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]


def dump(value: Any) -> str:
    """Return a value as YAML."""
    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000))


def parse(text: str) -> Any:
    """Return the value of a YAML text. References are refused: with them, a short text can be a huge value."""
    for token in yaml.scan(text):
        if isinstance(token, ALIAS):
            why = _("& and * have a meaning in YAML; put quotes around the text")
            raise yaml.MarkedYAMLError(problem=why, problem_mark=token.start_mark)
    return yaml.safe_load(text)


def place(path: Path, line: int) -> str:
    """Return a place in a file, in words. line: 0 if unknown."""
    return _("{path}, line {line}").format(path=path.name, line=line) if line else path.name


def read(path: Path, use: Callable[[str], Any] = parse) -> dict[str, Any]:
    """Return the table in a file; {} if there is no file. RefusedError: the text is not a table."""
    try:
        return dict(use(path.read_bytes().decode()) or {}) if path.exists() else {}
    except (yaml.YAMLError, LookupError, RecursionError, TypeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        wrong = _("{where} cannot be read: repair it by hand.")
        raise RefusedError(wrong.format(where=place(path, mark.line + 1 if mark else 0))) from error


def places(path: Path) -> dict[str, str]:
    """Return where a teacher's file has each setting, in words, by name. RefusedError: as `read`."""
    return {name: place(path, line) for name, line in read(path, _lines).items()}


def _lines(text: str) -> dict[str, int]:
    tree = yaml.compose(text, yaml.SafeLoader)
    return {key.value: key.start_mark.line + 1 for key, _value in tree.value} if tree and tree.value else {}


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the desk's file beside the teacher's file `path`, whole or not at all."""
    write_text(desk_file(path), HEAD.format(name=path.name) + dump(content), mode=0o600)  # it may have passwords


def create_empty(path: Path) -> None:
    """Write an empty file beside a teacher's file, unless it is there.

    Ansible lists the files in group_vars once per process: the desk would not see one that appears later.
    """
    if path.parent.exists() and not desk_file(path).exists():
        write(path, {})


def migrate(path: Path, rest: str, content: dict[str, Any]) -> str:
    """Move an earlier desk's entries from the teacher's file `path` to the desk's file. Returns a notice.

    content: the entries. rest: text that stays. After a power cut in between, both have them; the teacher's file wins.
    """
    old = path.with_name(f"{path.name}.old")
    shutil.copy2(path, old)
    write(path, content)
    write_text(path, rest)
    moved = _("The desk’s changes to {path} are now in {new}, a file of its own. {old} is a copy from before.")
    return moved.format(path=path.name, new=desk_file(path).name, old=old.name)
