"""The state folder of a fleet or a board: its settings, its key, and the names that it uses on the host.

Every name outside the folder (containers, network, saved disks) includes a hash of the folder's path, so that fleets in
different folders never collide.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from . import raspios
from .root import ACCOUNTS
from .shell import VirtualError, run

SSH_PORT = 2222
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class Settings:
    """The settings of a fleet.

    ``address`` is the start of its address block, such as 127.77.0.0; Pi N has the Nth address. ``publish`` lists the
    guest's ports that are reachable there, under the same numbers. ``os`` is debian or raspios. ``root`` is what the
    Pis' disks start from: a podman image, or a virtual machine's folder in the cache. ``students`` is how many share
    each Pi: one has the memory of a Pi Zero, several that of a Pi 4 (4 GB).

    Containers only: ``base`` is the image of a saved disk to start from instead.
    """

    suite: str = "trixie"
    address: str = "127.77.0.0"
    publish: list[int] = field(default_factory=lambda: [8888])
    os: str = "debian"
    base: str = ""
    kind: str = "container"
    root: str = ""
    students: int = 1


class State:
    """The folder of one fleet or board."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute().parent.resolve() / folder.name
        if not re.fullmatch(r"[\w ./+@=~-]+", str(self.folder)):
            raise VirtualError(
                f"The path {str(self.folder)!r} contains a special character, which podman and SSH do not support: "
                "give the project's folder a name of letters, digits, spaces and hyphens."
            )
        self.prefix = f"mynn-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]}"
        self.inventory = self.folder / "inventory.ini"
        self.key = self.folder / "key"
        self.known_hosts = self.folder / "known_hosts"
        self.pis = self.folder / "pis"
        # Read by Ansible: the sudo password, on systems where sudo asks for one.
        self.group_vars = self.folder / "group_vars/pis.yml"

    def load(self, name: str, kind: Callable[..., Stored]) -> Stored | None:
        """Return the settings in NAME.json; None if nothing was ever started here."""
        file = self.folder / f"{name}.json"
        try:
            return kind(**json.loads(file.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise VirtualError(f"{file} is damaged; run `make demo-stop`, then start again.") from None

    def save(self, name: str, settings: Any) -> None:
        """Write the settings to NAME.json atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{name}.partial"
        partial.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        partial.replace(self.folder / f"{name}.json")

    @property
    def account(self) -> str:
        """The account that Ansible logs in with."""
        return ACCOUNTS[(self.load("fleet", Settings) or Settings()).os]

    def ensure_password(self) -> str:
        """Return the account's password, created once and stored where Ansible finds it."""
        if not self.group_vars.exists():
            self.group_vars.parent.mkdir(exist_ok=True)
            self.group_vars.touch(0o600)
            self.group_vars.write_text(f"ansible_become_password: {json.dumps(raspios.new_password())}\n")
        return str(json.loads(self.group_vars.read_text().partition(": ")[2]))

    def numbers(self) -> list[int]:
        """Return the numbers of the existing Pis."""
        return sorted(int(path.name.removeprefix("pi-")) for path in self.pis.glob("pi-[0-9]*"))

    def ensure_key(self) -> None:
        """Create the SSH key."""
        make_key(self.key, self.prefix)

    def write_inventory(self, addresses: Mapping[str, str], settings: str = "") -> None:
        """Write the Ansible inventory. ``addresses`` are by name; ``settings`` are added to each line."""
        lines = ["# Written by `python3 -m tests.virtual`; `down` removes it.", "[pis]"]
        lines += [f"{name} ansible_host={address} {settings}".rstrip() for name, address in addresses.items()]
        lines += [
            "",
            "[pis:vars]",
            f"ansible_port={SSH_PORT}",
            f"ansible_user={self.account}",
            f"ansible_ssh_private_key_file={self.key}",
            f"ansible_ssh_common_args={shlex.join(ssh_options(self))!r}",
        ]
        self.inventory.write_text("\n".join(lines) + "\n")

    def remove(self, *names: str) -> None:
        """Delete what is kept here, these files too, and the folder if nothing else is in it."""
        shutil.rmtree(self.pis, ignore_errors=True)
        self.inventory.with_suffix(".desk.yml").unlink(missing_ok=True)
        for name in ("key", "key.pub", "known_hosts", "inventory.ini", "group_vars/pis.yml", *names):
            (self.folder / name).unlink(missing_ok=True)
        for folder in (self.group_vars.parent, self.folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def address_at(block: str, number: int) -> str:
    """Return the address of a Pi in a block such as 127.77.0.0."""
    return block.removesuffix("0") + str(number)


def make_key(path: Path, comment: str) -> None:
    """Make an SSH key, unless there is one."""
    if not path.with_suffix(".pub").exists():
        path.unlink(missing_ok=True)
        words: list[str | Path] = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path]
        run(words, doing=f"Making the SSH key {path.name}")


def ssh_options(state: State) -> list[str]:
    """Return ssh's options: trust a host key on first use only, and offer only the fleet's key."""
    return [
        *["-o", f'UserKnownHostsFile="{state.known_hosts}"'],
        *["-o", "StrictHostKeyChecking=accept-new"],
        *["-o", "IdentitiesOnly=yes"],
    ]
