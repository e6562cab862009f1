"""Every role's settings are documented and specified."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from tests.support.programs import ROOT

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())
SHARED: dict[str, object] = yaml.safe_load((ROOT / "playbooks/group_vars/all/defaults.yml").read_text(encoding="utf-8"))


def specified(role: str) -> dict[str, dict[str, str]]:
    """Return a role's argument specification."""
    text = (ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, dict[str, str]] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize("role", ROLES)
def test_every_setting_has_a_default_a_reason_and_a_specification(role: str) -> None:
    text = (ROOT / f"roles/{role}/defaults/main.yml").read_text(encoding="utf-8")
    assert re.match("#", text)
    defaults = set(yaml.safe_load(text))
    assert all(name.startswith(f"{role}_") for name in defaults)
    options = specified(role)
    assert defaults <= set(options) <= defaults | set(SHARED)
    assert all(spec["type"] and spec["description"] for spec in options.values())


def test_what_several_roles_need_is_specified_once() -> None:
    counted = Counter(name for role in ROLES for name in specified(role) if name in SHARED)
    assert counted == dict.fromkeys(SHARED, 1)
