"""The list of Pis: the teacher's Ansible inventory, and the desk's own file with the Pis added on its page."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.inventory import detect_range, expand_hostname_range

from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn_control.desk.connections import connections
from mynn_control.desk.runs import Fleet
from mynn_control.find import Proposal, is_host_name, is_reachable, proposals, search
from mynn_control.own_files import RefusedError, desk_file, load_inventory, migrate, modified, parse, place, read, write
from mynn_control.translation import _, safe

MOST = 100  # computers found in a search that are shown
PIS = re.compile(r"(?ms)^\[pis\]\n(.*?)(?=^\[|\Z)")  # the section [pis] of an INI inventory
LINE = re.compile(r"(?m)^([\w.-]+)(?: ansible_host=([\d.]+))?\n")  # a Pi's line, as earlier desks wrote it


class Inventory:
    """The list of Pis, and a search of the network. news: called when a search has ended.

    searching: whether a search is running. found: results of the last one. note: why it found nothing.
    """

    def __init__(self, path: Path, news: Callable[[], None]) -> None:
        self.path, self.news = path, news
        self.searching = False
        self.found: list[Proposal] = []
        self.note = ""

    def names(self) -> list[str]:
        """Return the Pis' names."""
        return [host.name for host in load_inventory(self.path).get_hosts("pis")] if self.path.exists() else []

    @property
    def state(self) -> object:
        """Data that the page depends on, for comparison."""
        return modified(self.path, desk_file(self.path)), self.searching, self.found, self.note

    def find(self, _given: Mapping[str, str]) -> str:
        """Start to search the network."""
        if not self.searching:
            self.searching, self.found, self.note = True, [], ""
            threading.Thread(target=self._search, daemon=True).start()
        return ""

    def _search(self) -> None:
        try:
            self.found = proposals(search(), load_inventory(self.path).hosts)[:MOST]
            self.note = "" if self.found else _("A computer that answered has no valid name or address.")
        except LookupError as error:
            self.note = str(error)
        finally:
            self.searching = False
            self.news()

    def add(self, given: Mapping[str, str]) -> str:
        """Add the chosen search results (add.NAME), each under its name or a new one (as.NAME)."""
        chosen = [one for one in self.found if given.get(f"add.{one.found}") == "yes"]
        if not chosen:
            return _("Choose the Pis to add.")
        new = {}
        for one in chosen:
            name = given.get(f"as.{one.found}", one.name)
            if name in new:
                wrong = _("Two Pis cannot both be called {name}: give one of them another name.")
                return wrong.format(name=printable(name))
            new[name] = one.address if name == one.name else one.addresses.partition(" ")[0]
        if wrong := self._changed(add, new):
            return wrong
        self.found = [one for one in self.found if one not in chosen]
        return ""

    def add_named(self, given: Mapping[str, str]) -> str:
        """Add a Pi by `name`, and by `address` if this computer cannot resolve the name."""
        return self._changed(add, {given.get("name", "").strip(): given.get("address", "").strip()})

    def remove(self, given: Mapping[str, str]) -> str:
        """Remove the Pi `pi`."""
        return self._changed(remove, given.get("pi", ""))

    def forget_key(self, given: Mapping[str, str]) -> str:
        """Forget the SSH host key of the Pi `pi`."""
        return self._changed(forget_key, given.get("pi", ""))

    def _changed(self, change: Callable[[Path, Any], None], what: Any) -> str:
        """Apply a change. Returns the error message, or nothing."""
        try:
            change(self.path, what)
        except (RefusedError, AnsibleError, OSError, ValueError, subprocess.SubprocessError) as error:
            return safe(_("Nothing was changed.") + f" {error}")
        return ""


def forget_key(path: Path, name: str) -> None:
    """Remove a Pi's SSH host key from this computer's known_hosts files. RefusedError: there is no such Pi."""
    connection = next((connection for connection in connections(Fleet(path)) if connection.pi == name), None)
    if not connection:
        raise RefusedError(_("{name} is not in it.").format(name=name))
    run = partial(subprocess.run, check=True, capture_output=True, text=True, timeout=30)
    said = run([connection.argv[0], "-G", *connection.argv[1:-1]]).stdout
    ssh = dict(line.partition(" ")[::2] for line in said.splitlines())  # also from ~/.ssh/config
    known = ssh["hostname"] if ssh["port"] == "22" else f"[{ssh['hostname']}]:{ssh['port']}"
    for file in filter(os.path.exists, ssh["userknownhostsfile"].split()):
        run(["ssh-keygen", "-R", ssh.get("hostkeyalias", known), "-f", file])


def add(path: Path, new: Mapping[str, str]) -> None:
    """Add Pis. new: name → address, empty if the name resolves. RefusedError: a name or an address is invalid."""
    pis, there = _own(path), load_inventory(path)
    taken = {name.partition(".")[0].lower() for name in there.hosts}
    for name, address in new.items():
        short = name.partition(".")[0].lower()
        if not is_host_name(name) or name in there.groups:
            wrong = _("“{name}” cannot be a Pi's name: use letters, digits and hyphens, as in pi07.local.")
            raise RefusedError(wrong.format(name=name))
        if address and not _is_address(address):
            wrong = _("“{address}” is not the address of a Pi, such as 192.168.1.52.")
            raise RefusedError(wrong.format(address=address))
        if short in taken:
            wrong = _("A Pi is called {short} already: choose another name for {name}.")
            raise RefusedError(wrong.format(short=short, name=name))
        taken.add(short)
    write(path, of_pis(pis | {name: _settings_of(address) for name, address in new.items()}))


def remove(path: Path, name: str) -> None:
    """Remove a Pi that was added on the page. RefusedError: it is not listed, or in another file."""
    pis, line = _own(path), _line_of(path, name)
    if name not in load_inventory(path).hosts:
        raise RefusedError(_("{name} is not in it.").format(name=name))
    if line or name not in pis:
        wrong = _("{name} is listed in {where}: remove it there by hand.")
        raise RefusedError(wrong.format(name=name, where=place(path, line)))
    write(path, of_pis({other: pis[other] for other in pis if other != name}))


def migrate_pis(path: Path) -> str:
    """Move Pis that an earlier desk wrote into the teacher's file to its own file. Returns a note, or nothing."""
    text = path.read_bytes().decode() if path.exists() else ""
    section = PIS.search(text)
    pis = {name: _settings_of(address) for name, address in LINE.findall(section[1])} if section else {}
    if not section or not pis:
        return ""
    return migrate(path, text[: section.start(1)] + LINE.sub("", section[1]) + text[section.end(1) :], of_pis(pis))


def of_pis(pis: dict[str, Any]) -> dict[str, Any]:
    """Return the content of the desk's file. pis: name → settings."""
    return {"pis": {"hosts": pis}}


def _settings_of(address: str) -> dict[str, str]:
    return {"ansible_host": address} if address else {}


def _own(path: Path) -> dict[str, Any]:
    """Return the Pis in the desk's file: name → settings."""
    path.stat()  # FileNotFoundError: the desk needs the login name in the teacher's file
    return read(desk_file(path), lambda text: parse(text)["pis"]["hosts"])


def _line_of(path: Path, name: str) -> int:
    """Return the number of the line in the teacher's file that names a Pi, alone or in a range; 0 without one."""
    for number, line in enumerate(path.read_bytes().decode().splitlines(), 1):
        word = "".join(line.split()[:1]).removesuffix(":")  # as in a YAML inventory
        is_header = word.startswith("[")
        if name in (expand_hostname_range(word) if detect_range(word) and not is_header else [word]):
            return number
    return 0


def _is_address(text: str) -> bool:
    try:
        return is_reachable(str(ipaddress.IPv4Address(text)))
    except ValueError:
        return False
