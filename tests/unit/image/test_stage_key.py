"""The cache key of the image's first stage: it changes with everything the stage is made from, and little else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[3]
SHARED = re.compile(r"ansible_collections\.mynn\.pi\.(plugins\.module_utils\.\w+)")


def test_the_key_covers_the_modules_of_the_stages_roles() -> None:
    recipe = yaml.safe_load((PROJECT / "roles/image/vars/main.yml").read_text(encoding="utf-8"))["__image_parts"]
    words = {word for role in ("system", "python") for task in tasks(PROJECT / "roles" / role) for word in task}
    modules = [path for path in (PROJECT / "plugins/modules").glob("*.py") if path.stem in words]
    assert modules
    used = {str(path.relative_to(PROJECT)) for path in with_shared_code(modules)}
    assert {part for part in recipe if part.startswith("plugins/")} == used


def tasks(role: Path) -> list[dict[str, Any]]:
    """Return a role's tasks, including those in blocks."""
    found = [task for path in role.glob("tasks/*.yml") for task in yaml.safe_load(path.read_text(encoding="utf-8"))]
    for task in found:  # grows during the loop
        found += [inner for part in ("block", "rescue", "always") for inner in task.get(part, [])]
    return found


def with_shared_code(paths: list[Path]) -> list[Path]:
    """Return files and all files of the project that they import."""
    found = [*paths]
    for path in found:  # grows during the loop
        shared = [PROJECT / f"{name.replace('.', '/')}.py" for name in SHARED.findall(path.read_text(encoding="utf-8"))]
        found += [path for path in dict.fromkeys(shared) if path not in found]
    return found
