"""Each Pi's SSH command and language, from the same inventory and settings as an Ansible run."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

from mynn import wall
from mynn_control.desk.runs import PROJECT, Fleet
from mynn_control.own_files import sources

PROMPT = "mynn-pi: the password of sudo?"  # sudo's prompt, on a line of its own
# ssh's options before and after those of the teacher: ssh takes the first of a repeated option. Forwardings are
# cleared, because only playbooks need the tunnel for apt to this computer.
FIRST = ("-oBatchMode=yes", "-oControlMaster=no", "-oControlPath=none", "-oClearAllForwardings=yes")
LAST = ("-oConnectTimeout=10", "-oServerAliveInterval=5", "-oServerAliveCountMax=2")


@dataclass(frozen=True)
class Connection:
    """SSH connection to a Pi. place: its position in the inventory. students: pairs of account and URL.

    argv: starts mynn_server.status_stream there. request: for that program, as JSON. password: for sudo, if set.
    """

    pi: str
    place: int
    students: tuple[tuple[str, str], ...]
    argv: tuple[str, ...]
    request: str
    password: str = field(repr=False)


def connections(fleet: Fleet, student: str = "") -> Iterator[Connection]:
    """Yield the connection to each Pi, for all students or one. AnsibleError: a setting cannot be read."""
    loader = _loader(PROJECT / "playbooks")
    for place, (host, variables) in enumerate(_variables(fleet, loader)):
        if not host.implicit:
            yield _connection(host.name, place, variables, Templar(loader, variables), student)


def class_language(fleet: Fleet, playbooks: Path) -> str:
    """Return the setting `language` that most Pis have, or the general one before there are Pis.

    playbooks: the folder with group_vars. AnsibleError: a setting cannot be read.
    """
    codes = Counter(str(variables.get("language")) for _host, variables in _variables(fleet, _loader(playbooks)))
    return codes.most_common(1)[0][0]


def _loader(playbooks: Path) -> DataLoader:
    """Return a loader that finds relative paths as a run does: from the folder of playbooks."""
    loader = DataLoader()
    loader.set_basedir(str(playbooks))
    return loader


def _variables(fleet: Fleet, loader: DataLoader) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield each Pi and its variables, or the implicit localhost if no Pi is listed yet."""
    inventory = InventoryManager(loader, sources=sources(fleet.inventory))
    inventory.subset(fleet.limit or None)
    settings = VariableManager(loader, inventory)
    hosts = inventory.get_hosts("pis") if "pis" in inventory.groups else []
    for host in hosts or [inventory.get_host("localhost")]:
        yield host, settings.get_vars(host=host, include_hostvars=False) | {"playbook_dir": loader.get_basedir()}


def _connection(pi: str, place: int, variables: Mapping[str, Any], templar: Templar, student: str) -> Connection:
    of_ansible = {name: templar.template(variables[name]) for name in variables if name.startswith("ansible_")}
    of_ansible["inventory_hostname"] = pi
    students = templar.template(variables["classroom_students"])
    students = [one for one in students if student in ("", one["name"])]
    sudo = _options("become", "sudo", of_ansible)
    words = [f"{templar.template(variables['__python_venv'])}/bin/python", "-I", "-m", "mynn_server.status_stream"]
    if boolean(of_ansible.get("ansible_become", True)):
        words = [sudo["become_exe"], "-H", "-S", "-p", f"{PROMPT}\n", "-u", sudo["become_user"], *words]
    command = f"LC_ALL=C {shlex.join(words)}"  # in English, because the desk parses error messages
    is_local = of_ansible.get("ansible_connection") == "local"
    request = {
        "students": {one["name"]: {what: one[what] for what in ("folder", "hash_file")} for one in students},
        "file": wall.FILE,
        "largest": wall.LARGEST,
    }
    return Connection(
        pi=pi,
        place=place,
        students=tuple((one["name"], one["url"]) for one in students),
        argv=("sh", "-c", command) if is_local else (*_ssh(_options("connection", "ssh", of_ansible)), command),
        request=json.dumps(request),
        password=sudo["become_pass"] or "",
    )


def _options(kind: str, plugin: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an Ansible plugin, from variables, the environment and ansible.cfg."""
    (connection_loader if kind == "connection" else become_loader).get(plugin, class_only=True)  # loads the plugin
    options: dict[str, Any] = constants.config.get_plugin_options(kind, plugin, variables=variables)
    return options


def _ssh(option: Mapping[str, Any]) -> list[str]:
    """Return the command that logs in on a Pi, with the options that Ansible's `ssh` plugin would use."""
    argv = [option["ssh_executable"], "-T", *FIRST, *shlex.split(option["ssh_args"] or "")]
    if not option["host_key_checking"]:
        argv += ["-oStrictHostKeyChecking=no"]
    for flag, name in (("-p", "port"), ("-i", "private_key_file"), ("-l", "remote_user")):
        if option[name]:
            argv += [flag, str(option[name])]
    for more in ("ssh_common_args", "ssh_extra_args"):
        argv += shlex.split(option[more] or "")
    return [*argv, *LAST, "--", option["host"]]
