"""The list of Pis: the inventory, in which a person writes, too. The desk adds and removes lines."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import detect_range, expand_hostname_range
from ansible.vars.manager import VariableManager

from ansible_collections.mynn.pi.plugins.module_utils.files import write_text
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn_control.find import Proposal, hosts_in, is_host_name, is_reachable, proposals, search
from mynn_control.words import _, safe

MOST = 100  # computers of a search that are shown
PLACES = ("inventory_file", "inventory_dir")  # Ansible's own variables of a host


class RefusedError(Exception):
    """Why nothing was changed, and what to do: a sentence for the teacher."""


class Inventory:
    """The inventory, and what a search of the network found. news: called when something is to be shown.

    searching: whether a search is going on. found: what the last one found. note: why it found nothing.
    """

    def __init__(self, path: Path, news: Callable[[], None]) -> None:
        self.path, self.news = path, news
        self.searching = False
        self.found: list[Proposal] = []
        self.note = ""

    def names(self) -> list[str]:
        """Return the Pis' names."""
        return [host.name for host in _read(self.path).get_hosts("pis")] if self.path.exists() else []

    @property
    def state(self) -> object:
        """What the page is drawn of."""
        written = self.path.stat().st_mtime_ns if self.path.exists() else 0
        return written, self.searching, self.found, self.note

    def find(self, _given: Mapping[str, str]) -> str:
        """Begin to search the network."""
        if not self.searching:
            self.searching, self.found, self.note = True, [], ""
            threading.Thread(target=self._search, daemon=True).start()
        return ""

    def _search(self) -> None:
        try:
            self.found = proposals(search(), hosts_in(str(self.path)))[:MOST]
            self.note = "" if self.found else _("What answered has no valid name or address.")
        except LookupError as error:
            self.note = str(error)
        finally:
            self.searching = False
            self.news()

    def add(self, given: Mapping[str, str]) -> str:
        """Add those found computers that were chosen (add.NAME), under a name that was perhaps changed (as.NAME)."""
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
        """Add a Pi by `name`, and by `address` if this computer does not find the name."""
        return self._changed(add, {given.get("name", "").strip(): given.get("address", "").strip()})

    def remove(self, given: Mapping[str, str]) -> str:
        """Remove a Pi, `pi`."""
        return self._changed(remove, given.get("pi", ""))

    def forget_key(self, given: Mapping[str, str]) -> str:
        """Forget the SSH host key of a Pi, `pi`."""
        return self._changed(forget_key, given.get("pi", ""))

    def _changed(self, change: Callable[[Path, Any], None], what: Any) -> str:
        """Change something; return why not, or nothing."""
        try:
            change(self.path, what)
        except (RefusedError, AnsibleError, OSError, ValueError, subprocess.SubprocessError) as error:
            return safe(f"{_('Nothing was changed.')} {error}")
        return ""


def _read(path: Path) -> InventoryManager:
    return InventoryManager(DataLoader(), sources=[str(path)])


def class_language(path: Path, playbooks: Path) -> str:
    """Return the setting `language` of most Pis, or of all where there is none yet. AnsibleError: it cannot be read.

    playbooks: the folder; group_vars in it has the settings.
    """
    codes = Counter(str(of.get("language")) for of in _settings(path, playbooks).values())
    return codes.most_common(1)[0][0]


def _settings(path: Path, playbooks: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of each Pi, or of localhost if no Pi is listed yet."""
    loader = DataLoader()
    loader.set_basedir(str(playbooks))
    manager = InventoryManager(loader, sources=[str(path)])
    settings = VariableManager(loader, manager)
    names = manager.get_groups_dict().get("pis") or ["localhost"]
    return {name: settings.get_vars(host=manager.get_host(name), include_hostvars=False) for name in names}


def forget_key(path: Path, name: str) -> None:
    """Remove a Pi's SSH host key from those that this computer knows. RefusedError: why not."""
    of = _settings(path, path.parent).get(name)
    if not of:
        raise RefusedError(_("{name} is not in it.").format(name=name))
    options = shlex.split(str(of.get("ansible_ssh_common_args", "")))
    options += ["-p", str(of["ansible_port"])] if "ansible_port" in of else []
    run = partial(subprocess.run, check=True, capture_output=True, text=True, timeout=30)
    said = run(["ssh", "-G", *options, "--", str(of.get("ansible_host", name))]).stdout
    ssh = dict(line.partition(" ")[::2] for line in said.splitlines())  # what it would do, also by its own settings
    known = ssh["hostname"] if ssh["port"] == "22" else f"[{ssh['hostname']}]:{ssh['port']}"
    for file in filter(os.path.exists, ssh["userknownhostsfile"].split()):
        run(["ssh-keygen", "-R", ssh.get("hostkeyalias", known), "-f", file])


def contents(path: Path) -> dict[str, Any]:
    """Return what Ansible reads: by host, its settings; and by [GROUP], its hosts, in order."""
    manager = _read(path)
    hosts = {
        host.name: {name: value for name, value in host.vars.items() if name not in PLACES}
        for host in manager.get_hosts()
    }
    return hosts | {f"[{name}]": [host.name for host in group.hosts] for name, group in manager.groups.items()}


def add(path: Path, new: Mapping[str, str]) -> None:
    """Add Pis below [pis]. new: by name, the address; empty if this computer finds the name. RefusedError: why not."""
    lines, wanted = _lines(path), contents(path)
    taken = {name.partition(".")[0].lower() for name in wanted if not name.startswith("[")}
    for name, address in new.items():
        short = name.partition(".")[0].lower()
        if not is_host_name(name) or f"[{name}]" in wanted:
            wrong = _("“{name}” cannot be a Pi's name: use letters, digits and hyphens, as in pi07.local.")
            raise RefusedError(wrong.format(name=name))
        if address and not _is_address(address):
            wrong = _("“{address}” is not the address of a Pi, such as 192.168.1.52.")
            raise RefusedError(wrong.format(address=address))
        if short in taken:
            wrong = _("A Pi is called {short} already: choose another name for {name}.")
            raise RefusedError(wrong.format(short=short, name=name))
        taken.add(short)
    places = [number for number, line in enumerate(lines) if _section(line) == "[pis]"]
    if not places:
        wrong = _("{path} has no line [pis]: write one, and a Pi below it, by hand.")
        raise RefusedError(wrong.format(path=path))
    place = max([places[0], *(number for number, section, _ in _hosts_of(lines) if section == "[pis]")]) + 1
    lines[place:place] = [
        f"{name} ansible_host={address}\n" if address else f"{name}\n" for name, address in new.items()
    ]
    wanted |= {name: {"ansible_host": address} if address else {} for name, address in new.items()}
    _write(path, lines, wanted | {"[pis]": [*wanted["[pis]"], *new]})


def remove(path: Path, name: str) -> None:
    """Remove a Pi, wherever the inventory names it. RefusedError: why not."""
    lines, wanted = _lines(path), contents(path)
    if name.startswith("[") or wanted.pop(name, None) is None:
        raise RefusedError(_("{name} is not in it.").format(name=name))
    for group in (one for one in wanted if one.startswith("[")):
        wanted[group] = [other for other in wanted[group] if other != name]
    for number, _section_of, word in _hosts_of(lines):
        names = expand_hostname_range(word) if detect_range(word) else [word]
        if name in names:
            rest = lines[number].lstrip().removeprefix(word)
            lines[number] = "".join(f"{other}{rest}" for other in names if other != name)
    _write(path, lines, wanted)


def _is_address(text: str) -> bool:
    try:
        return is_reachable(str(ipaddress.IPv4Address(text)))
    except ValueError:
        return False


def _lines(path: Path) -> list[str]:
    """Return the lines of an inventory, each with its end. RefusedError: it is not an INI file."""
    text = path.read_bytes().decode()
    if path.suffix in {".yml", ".yaml", ".json", ".toml"} or text.startswith("#!"):
        wrong = _("{path} is not an INI file, such as inventory.ini: change it by hand.")
        raise RefusedError(wrong.format(path=path))
    return [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]


def _section(line: str) -> str:
    """Return the section that a line begins, such as [pis]; nothing if it begins none."""
    match = re.match(r"\s*(\[[^\]]+\])\s*(?:[#;].*)?$", line)
    return match[1] if match else ""


def _hosts_of(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Give the lines that name Pis: the line's number, its section, and the name or the range of names."""
    section = ""
    for number, line in enumerate(lines):
        section = _section(line) or section
        words = line.split()
        if words and ":" not in section and not words[0].startswith(("#", ";", "[")):
            yield number, section, words[0]


def _write(path: Path, lines: Sequence[str], wanted: dict[str, Any]) -> None:
    """Write the inventory, if Ansible reads in it what is wanted."""
    text = "".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, path.name)
        trial.write_bytes(text.encode())
        if contents(trial) != wanted:
            wrong = _("{path} is written in a way that the desk does not know: change it by hand.")
            raise RefusedError(wrong.format(path=path))
    write_text(path, text)
