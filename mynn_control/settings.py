"""Settings with their descriptions, read from the roles for the manual and the desk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT / "playbooks/group_vars/all/defaults.yml"  # not settings.yml or settings.desk.yml beside it


@dataclass(frozen=True)
class Setting:
    """A setting. option: from a role's argument spec. default: as written. reason: the comment above the default."""

    name: str
    option: dict[str, Any]
    default: str
    reason: str

    @property
    def description(self) -> str:
        """The description, without Ansible's markup."""
        text = self.option["description"]
        return re.sub(r"\b[OCV]\(([^)]*)\)", r"`\1`", (text if isinstance(text, str) else " ".join(text)).strip())


def sections() -> Iterator[tuple[str, str, list[Setting]]]:
    """Yield a title, a description and settings: first those that several roles share, then those of each role."""
    roles = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        roles[path.parents[1]] = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
    options = {name: option for entry in roles.values() for name, option in entry.get("options", {}).items()}
    shared = defaults(SHARED)
    common = [Setting(name, options[name], *shared[name]) for name in shared if name in options]
    yield "Shared by several roles", "", common
    for role, entry in roles.items():
        known = defaults(role / "defaults/main.yml")
        own = {name: option for name, option in entry.get("options", {}).items() if name not in shared}
        if own:
            settings = [Setting(name, option, *known.get(name, ("", ""))) for name, option in own.items()]
            yield role.name, entry["short_description"], settings


def messages(_file: Any, _keywords: Any, _tags: Any, **_options: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield the texts about all settings, as an extraction method of Babel: 1, "", the text, []."""
    for title, about, own in sections():
        texts = [title, about, *(text for one in own for text in (one.description, one.reason))]
        yield from ((1, "", text, []) for text in texts if text)


def defaults(path: Path) -> dict[str, tuple[str, str]]:
    """Return each default as written and the comment above it, by name."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        if line.startswith("#"):
            comment.append(line.lstrip("#").strip())
        elif match := re.match(r"(\w+):\s*(.*)", line):
            name = match[1]
            found[name] = (match[2], " ".join(comment))
            comment = []
        elif line.startswith((" ", "-")) and name:
            found[name] = (f"{found[name][0]}\n{line}", found[name][1])
        else:
            comment, name = [], ""
    return found
