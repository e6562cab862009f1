"""A fleet's state folder: its settings, its key, and the names that it uses on the host.

Every name outside the folder (containers, network, saved disks) includes a hash of the folder's path, so that fleets in
different folders never collide.
"""

import fcntl
import hashlib
import ipaddress
import json
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from . import raspios
from .host import cache_folder
from .root import ACCOUNTS, SUITES
from .shell import VirtualError, run

SSH_PORT = 2222
CHOICES = {"suite": SUITES, "os": tuple(ACCOUNTS), "kind": ("container", "vm", "auto")}


@dataclass(frozen=True)
class Settings:
    """The settings of a fleet.

    ``address`` is the start of its address block, such as 127.77.0.0; Pi N has the Nth address. ``publish`` lists the
    guest's ports that are reachable there, under the same numbers. ``os`` is debian or raspios. ``root`` is what the
    Pis' disks start from: a podman image, or a virtual machine's folder in the cache.

    Containers only: ``base`` is the image of a saved disk to start from instead. Virtual machines only: ``clock`` is
    the date that the clock shows at power-on, such as 2020-01-01 (empty: today).
    """

    suite: str = "trixie"
    address: str = "127.77.0.0"
    publish: tuple[int, ...] = (8888,)
    os: str = "debian"
    base: str = ""
    kind: str = "container"
    clock: str = ""
    root: str = ""

    def check(self) -> "Settings":
        """Return the settings. Raises VirtualError about the first invalid one."""
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise VirtualError(f"There is no {name} {getattr(self, name)!r}; choose one of {', '.join(known)}.")
        if self.os == "raspios" and self.suite != "trixie":
            raise VirtualError(f"Raspberry Pi OS is available as trixie only, not as {self.suite}.")
        try:
            good = ipaddress.IPv4Address(self.address).is_loopback and self.address.endswith(".0")
        except ValueError:
            good = False
        if not good:
            raise VirtualError(
                f"The address {self.address!r} is not a block of loopback addresses; give one such as 127.77.0.0."
            )
        for port in self.publish:
            if not 0 < port < 65536 or port == SSH_PORT:
                raise VirtualError(f"Port {port} cannot be published; give one from 1 to 65535, but not SSH's.")
        if self.clock and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", self.clock):
            raise VirtualError(f"{self.clock!r} is not a date; give one such as 2020-01-01.")
        return self


class State:
    """The folder of one fleet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute().parent.resolve() / folder.name
        if not re.fullmatch(r"[\w ./+@=~-]+", str(self.folder)):
            raise VirtualError(
                f"The path {str(self.folder)!r} contains a special character, which podman and SSH do not support: "
                "give the project's folder a name of letters, digits, spaces and hyphens."
            )
        self.prefix = f"mynn-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]}"
        self.settings_file = self.folder / "fleet.json"
        self.inventory = self.folder / "inventory.ini"
        self.key = self.folder / "key"
        self.known_hosts = self.folder / "known_hosts"
        self.pis = self.folder / "pis"
        # Read by Ansible: the sudo password, on systems where sudo asks for one.
        self.group_vars = self.folder / "group_vars/pis.yml"

    @contextmanager
    def locked(self, patience: float = 600) -> Iterator[None]:
        """Lock the fleet. The kernel releases the lock however this process ends."""
        locks = cache_folder() / "virtual/locks"  # not in the folder, which `down` removes
        locks.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + patience
        with (locks / self.prefix).open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise VirtualError(
                            f"Another command has been using the fleet in {self.folder} for more than "
                            f"{patience:.0f} s; stop it, then try again."
                        ) from None
                    time.sleep(0.1)
            yield

    def exists(self) -> bool:
        """Return whether a fleet was ever started here."""
        return self.settings_file.exists()

    def load(self) -> Settings:
        """Return the settings."""
        try:
            stored = json.loads(self.settings_file.read_text())
            return Settings(**{**stored, "publish": tuple(stored["publish"])})
        except FileNotFoundError:
            raise VirtualError(f"There is no fleet in {self.folder}; `up` starts one.") from None
        except (ValueError, KeyError, TypeError):
            raise VirtualError(f"{self.settings_file} is damaged; run `down`, then `up`.") from None

    def save(self, settings: Settings) -> None:
        """Write the settings atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.settings_file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        partial.replace(self.settings_file)

    def refuse_changes(self, wanted: Settings) -> None:
        """Raise VirtualError if the existing fleet has other settings, but for those that a start may change."""
        present = self.load()
        for name in (field.name for field in fields(Settings)):
            before, after = getattr(present, name), getattr(wanted, name)
            if before != after and name not in ("clock", "root"):
                raise VirtualError(
                    f"The fleet in {self.folder} has the {name} {before}, not {after}; run `make demo-stop` first."
                )

    @property
    def account(self) -> str:
        """The account that Ansible logs in with."""
        return ACCOUNTS[self.load().os if self.exists() else "debian"]

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
        """Create the fleet's SSH key."""
        make_key(self.key, self.prefix)

    def write_known_hosts(self, settings: Settings, numbers: list[int]) -> None:
        """Write the Pis' SSH host keys."""
        known = []
        for number in numbers:
            key = (self.pis / name_of(number) / "ssh_host_ed25519_key.pub").read_text().split()
            known.append(f"[{address_at(settings.address, number)}]:{SSH_PORT} {key[0]} {key[1]}\n")
        self.known_hosts.write_text("".join(known))

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

    def remove(self) -> None:
        """Delete what is kept here about the fleet, and the folder if nothing else is in it."""
        key, settings = self.key, self.settings_file
        known = [self.known_hosts, self.inventory, self.group_vars]
        for file in (key, key.with_suffix(".pub"), settings, settings.with_suffix(".partial"), *known):
            file.unlink(missing_ok=True)
        for folder in (self.group_vars.parent, self.pis, self.folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def name_of(number: int) -> str:
    """Return a Pi's name in the inventory: pi-01, pi-02, ..."""
    return f"pi-{number:02d}"


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
