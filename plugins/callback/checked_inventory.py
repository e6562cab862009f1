"""Ansible callback: validate the inventory and all settings before a Pi is contacted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

from ansible_collections.mynn.pi.plugins.module_utils.setting_faults import (
    known_words,
    misspelt,
    options,
    wrong_settings,
    wrong_students,
)
from ansible_collections.mynn.pi.plugins.module_utils.text import HOST_LABEL, printable_lines

DOCUMENTATION = r"""
name: checked_inventory
type: aggregate
short_description: refuse an inventory without Pis, two Pis of one address, and wrong or misspelt settings
description:
  - With an inventory without Pis, Ansible itself succeeds, and it ignores unknown settings.
  - The settings' types are those of the roles' argument specs, which each role checks too, but Pi by Pi and late.
author: The mynn-pi authors
"""

GONE = Path(__file__).with_name("gone.yml")
WRITE = "write each Pi's name on a line below [pis] in classroom.ini, as the manual's page “The inventory” shows."


def not_yaml(source: Path) -> Iterator[str]:
    """Yield a message if an inventory is not YAML: Ansible would only warn, and go on with the other inventories."""
    try:
        yaml.compose(source.read_text(encoding="utf-8", errors="replace"), yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        yield f"{source}:{error.problem_mark.line + 1}: this is not YAML: repair it by hand."


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Ends a run whose inventory or settings are wrong."""

    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.checked = False

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Validate inventory and settings before the first play for Pis."""
        if self.checked or "pis" not in play.hosts:
            return
        self.checked = True
        try:
            faults = list(dict.fromkeys(self._faults(play)))
        except AnsibleError as error:  # not YAML; only the exception's context has the file's name
            faults = [f"{getattr(error.__context__, 'obj', None) or 'the settings'}: {error}"]
        if faults:
            self._display.error("\n".join(printable_lines(fault) for fault in faults), wrap_text=False)
            sys.exit(1)

    def _faults(self, play: Any) -> Iterator[str]:
        """Yield a message for each fault."""
        manager = play.get_variable_manager()
        inventory = manager._inventory
        sources = [Path(source) for source in context.CLIARGS["inventory"]]
        group = inventory.groups.get("pis")
        if group is None or not group.get_hosts():
            if play.vars.get("without_pis") and all(source.exists() for source in sources):
                return
            missing = [source for source in sources if not source.exists()]
            if missing:
                own = "for your own, `cp inventory.ini classroom.ini`, and write them into that file."
                yield f"There is no inventory {missing[0]}. `make demo` starts virtual Pis; {own}"
            else:
                yield f"{', '.join(map(str, sources))} names no Pi: {WRITE}"
            return
        for source in sources:
            if source.is_file() and source.suffix in {".yml", ".yaml"}:
                yield from not_yaml(source)
        specs, known = options(), known_words()
        told = yaml.safe_load(GONE.read_text(encoding="utf-8"))
        gone = {name: instead for instead, names in told.items() for name in names}
        addresses: dict[tuple[str, str], str] = {}
        names: dict[str, str] = {}
        for host in inventory.get_hosts("pis"):
            settings = manager.get_vars(play=play, host=host, include_hostvars=False)
            templar = Templar(loader=play.get_loader(), variables=settings)
            yield from misspelt(
                {name: settings[name] for name in settings if "ansible" not in name}, known, specs, gone
            )
            wrong = list(wrong_settings(settings, templar, specs))
            yield from wrong or wrong_students(templar, play.get_loader())
            address = str(settings.get("ansible_host", host.name)).lower(), str(settings.get("ansible_port", 22))
            if (other := addresses.setdefault(address, host.name)) != host.name:
                yield f"{other} and {host.name} have the same address, {address[0]}: name each Pi once."
            hostname = str(templar.template(settings.get("system_hostname", "")))
            if hostname and not re.fullmatch(HOST_LABEL, hostname):
                yield (
                    f"{host.name}: “{hostname}” cannot be a Pi's name. Use at most 63 letters from a to z, digits and "
                    "hyphens, as in pi07."
                )
            elif hostname and (other := names.setdefault(hostname.lower(), host.name)) != host.name:
                yield f"{other} and {host.name} would both be called {hostname}: give one of them another name."
