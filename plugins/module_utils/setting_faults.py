"""Validate settings: for a run before it contacts a Pi, and for the desk before it saves one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # without it, messages lack a setting's file and line
    Origin = None

PROJECT = Path(__file__).resolve().parents[2]
KINDS = {"int": "a whole number", "bool": "true or false", "list": "a list", "dict": "a table", "path": "a path"}
FIRST_PORT = 1024  # a service without root's powers cannot listen on a lower one
LAST_PORTS = {"apt_cache_port": 2**15 - 1}  # apt-cacher-ng accepts no higher one
WHOLE = re.compile(r"-?[0-9]{1,9}")
# In one line of authorized_keys: options, such as from="192.168.1.*", the key's type, the key, and a comment.
PUBLIC_KEY = re.compile(r"(?:[!-~][ -~]* )?(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: [^\x00-\x1f\x7f-\x9f]*)?")
NEAR = 0.8  # least similarity (0 to 1) of a misspelt name to the right one


def options() -> dict[str, dict[str, Any]]:
    """Return the argument specs of all settings, by name."""
    specs: dict[str, dict[str, Any]] = {}
    for path in sorted(PROJECT.glob("roles/*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            specs |= entry.get("options", {})
    return specs


def known_words() -> set[str]:
    """Return all words in playbooks and roles, but not `student`. No task reads a setting that is not among these."""
    paths = (path for folder in ("playbooks", "roles") for path in (PROJECT / folder).rglob("*.yml"))
    own = (path for path in paths if not path.name.startswith("settings."))  # without the teacher's settings
    return {word for path in own for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))} - {"student"}


def where(value: object) -> str:
    """Return the file and line of a value, such as ``settings.yml:3: ``; empty if unknown."""
    origin = Origin and Origin.get_tag(value)
    return f"{origin.path}:{origin.line_num}: " if origin and origin.path else ""


def wrong_settings(settings: Mapping[str, Any], templar: Templar, specs: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a message for each setting whose value has the wrong type or range."""
    for name, spec in specs.items():
        if name not in settings:
            continue
        try:
            value = templar.template(settings[name])
        except AnsibleError as error:
            yield f"{where(settings[name])}{name} cannot be read: {error}"
            continue
        last_port = LAST_PORTS.get(name, 2**16 - 1) if name.endswith("_port") else None
        no_kind = spec["type"] == "list" and not isinstance(value, (list, str))
        no_kind |= spec["type"] == "int" and not WHOLE.fullmatch(str(value))  # Ansible would accept 1e3
        is_empty = value is None and spec["type"] not in ("str", "path")
        wrong = is_empty or no_kind or ArgumentSpecValidator({name: spec}).validate({name: value}).error_messages
        no_keys = name.endswith("_ssh_keys") and not wrong and not all(map(PUBLIC_KEY.fullmatch, map(str, value)))
        if wrong or no_keys or (last_port and not FIRST_PORT <= int(value) <= last_port):
            given = "is empty" if is_empty else f"is {value!r}"
            given = "has a value that is not shown" if spec.get("no_log") else given
            choices = ", ".join(str(choice) for choice in spec.get("choices", []) if choice)
            kind = f"one of {choices}" if choices else KINDS.get(spec["type"], "text")
            kind += f" from {FIRST_PORT} to {last_port}" if last_port else ""
            kind += " of public SSH keys, each in one line" if no_keys else ""
            yield f"{where(settings[name])}{name} {given}, and must be {kind}."


def misspelt(
    settings: Mapping[str, Any], known: set[str], specs: Mapping[str, dict[str, Any]], gone: Mapping[str, str]
) -> Iterator[str]:
    """Yield a message for each setting that was removed (`gone`), or that no task reads but resembles one of ours."""
    prefixes = tuple({f"{name.partition('_')[0]}_" for name in specs if "_" in name})
    for name in filter(gone.__contains__, settings):  # the keys of `settings` know their file and line
        yield f"{where(name)}{name} is gone: {gone[name]}."
    for name in settings.keys() - known - gone.keys():
        near = difflib.get_close_matches(name, specs, 1, NEAR)
        if near or name.startswith(prefixes):
            yield f"{where(name)}there is no setting {name}{'; the nearest is ' * bool(near)}{''.join(near)}."


def wrong_students(templar: Templar, loader: DataLoader) -> Iterator[str]:
    """Yield the message of the role students if it would refuse their names; a Pi's own account is not known yet."""
    if "students" not in templar.available_variables:
        return
    role = PROJECT / "roles/students"
    [check] = loader.load_from_file(str(role / "tasks/names.yml"), trusted_as_template=True)
    own = loader.load_from_file(str(role / "vars/main.yml"), trusted_as_template=True) | check["vars"]
    names = Templar(loader=loader, variables={**templar.available_variables, **own})
    rule = check["ansible.builtin.assert"]
    if not all(names.evaluate_conditional(condition) for condition in rule["that"]):
        yield where(names.available_variables["students"]) + str(names.template(rule["fail_msg"]))
