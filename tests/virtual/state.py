"""A fleet's state folder: its settings, its key, and the names that it uses on the host.

Every name outside the folder (control group, nspawn machine) includes a hash of the folder's path, so that fleets in
different folders never collide.
"""

import hashlib
import ipaddress
import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from . import raspios
from .cgroups import Group
from .host import own
from .root import ACCOUNT, ACCOUNTS, SUITES
from .shell import VirtualError, run

LARGEST_FLEET = 200
SSH_PORT = 2222
KINDS = ("container", "vm")
ACCELERATORS = ("auto", "kvm", "tcg")


@dataclass(frozen=True)
class Settings:
    """The settings of a fleet.

    ``address`` is the start of its address block, such as 127.77.0.0; Pi N has the Nth address. ``publish`` lists the
    guest's ports that are reachable there, under the same numbers. ``os`` is debian or raspios.

    Containers only: ``delay_ms`` is added to each SSH round trip; ``base`` is the folder of a saved disk to start from
    (empty: a fresh Debian). Virtual machines only: ``accel`` is kvm, tcg (plain emulation) or auto; ``clock`` is the
    date that the clock shows at power-on, such as 2020-01-01 (empty: today).
    """

    suite: str = "trixie"
    address: str = "127.77.0.0"
    publish: tuple[int, ...] = (8888,)
    delay_ms: float = 0
    os: str = "debian"
    base: str = ""
    kind: str = "container"
    accel: str = "auto"
    clock: str = ""

    def check(self) -> "Settings":
        """Return the settings. Raises VirtualError about the first invalid one."""
        if self.suite not in SUITES:
            raise VirtualError(f"There is no suite {self.suite!r}; choose one of {', '.join(SUITES)}.")
        if self.os not in ACCOUNTS:
            raise VirtualError(f"There is no system {self.os!r}; choose one of {', '.join(ACCOUNTS)}.")
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
            if not 0 < port < 65536 or port in (SSH_PORT, SSH_PORT + 1):
                raise VirtualError(
                    f"Port {port} cannot be published; give a port from 1 to 65535, "
                    f"but not {SSH_PORT} or {SSH_PORT + 1}, which SSH uses."
                )
        if not 0 <= self.delay_ms <= 10_000:
            raise VirtualError(f"A delay of {self.delay_ms} ms is not possible; give one from 0 to 10000.")
        self._check_kind()
        return self

    def _check_kind(self) -> None:
        for word, known, what in ((self.kind, KINDS, "kind of Pi"), (self.accel, ACCELERATORS, "accelerator")):
            if word not in known:
                raise VirtualError(f"There is no {what} {word!r}; choose one of {', '.join(known)}.")
        if self.clock and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", self.clock):
            raise VirtualError(f"{self.clock!r} is not a date; give one such as 2020-01-01.")
        if self.kind == "container" and (self.accel, self.clock) != ("auto", ""):
            raise VirtualError("A container uses its host's processor and clock; --accel and --clock need --kind vm.")
        if self.kind == "vm" and (self.delay_ms or self.base):
            raise VirtualError("--delay-ms and --base need --kind container.")


class State:
    """The folder of one fleet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute().parent.resolve() / folder.name
        if not re.fullmatch(r"[\w ./+@=~-]+", str(self.folder)):
            raise VirtualError(
                f"The path {str(self.folder)!r} contains a special character, which mounts and SSH do not support: "
                "give the project's folder a name of letters, digits, spaces and hyphens."
            )
        self.prefix = f"mynn-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:8]}"
        self.group = Group(self.prefix)
        self.settings_file = self.folder / "fleet.json"
        self.inventory = self.folder / "inventory.ini"
        self.key = self.folder / "key"
        self.known_hosts = self.folder / "known_hosts"
        self.pis = self.folder / "pis"
        # Read by Ansible: the sudo password, on systems where sudo asks for one.
        self.group_vars = self.folder / "group_vars/pis.yml"

    @property
    def kind(self) -> str:
        """The kind of the fleet's Pis; empty if there is no fleet or the kind is unknown."""
        try:
            return self.load()[0].kind
        except VirtualError:
            return ""

    def needs_root(self) -> bool:
        """Return whether there is a fleet that root started, so that only root can manage it."""
        return self.exists() and self.settings_file.stat().st_uid == 0

    def exists(self) -> bool:
        """Return whether a fleet was ever started here."""
        return self.settings_file.exists()

    def load(self) -> tuple[Settings, Path]:
        """Return the settings, and the root that the Pis' disks are based on."""
        try:
            stored = json.loads(self.settings_file.read_text())
            root = Path(stored.pop("root"))
            stored["publish"] = tuple(stored["publish"])
            return Settings(**stored), root
        except FileNotFoundError:
            raise VirtualError(f"There is no fleet in {self.folder}; `up` starts one.") from None
        except (ValueError, KeyError, TypeError):
            raise VirtualError(f"{self.settings_file} is damaged; run `down`, then `up`.") from None

    @property
    def account(self) -> str:
        """The account that Ansible logs in with."""
        return ACCOUNTS[self.load()[0].os] if self.exists() else ACCOUNT

    def ensure_password(self) -> str:
        """Return the account's password, created once and stored where Ansible finds it."""
        if not self.group_vars.exists():
            self.group_vars.parent.mkdir(exist_ok=True)
            self.group_vars.touch(0o600)
            self.group_vars.write_text(f"ansible_become_password: {json.dumps(raspios.new_password())}\n")
            own(self.group_vars.parent, self.group_vars)
        return str(json.loads(self.group_vars.read_text().partition(": ")[2]))

    def save(self, settings: Settings, root: Path) -> None:
        """Write the settings atomically."""
        partial = self.settings_file.with_suffix(".partial")
        partial.write_text(json.dumps({**asdict(settings), "root": str(root)}, indent=2) + "\n")
        partial.replace(self.settings_file)

    def numbers(self) -> list[int]:
        """Return the numbers of the existing Pis."""
        if not self.pis.is_dir():
            return []
        return sorted(int(path.name.removeprefix("pi-")) for path in self.pis.glob("pi-[0-9]*"))

    def ensure_key(self) -> None:
        """Create the fleet's SSH key, owned by the caller."""
        if not self.key.exists():
            run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.prefix, "-f", self.key],
                doing="Making the fleet's SSH key",
            )
        own(self.key, self.key.with_suffix(".pub"))

    def write_known_hosts(self, settings: Settings, numbers: list[int]) -> None:
        """Write the Pis' SSH host keys."""
        known = []
        for number in numbers:
            key = (self.pis / name_of(number) / "ssh_host_ed25519_key.pub").read_text().split()
            known.append(f"[{address_at(settings.address, number)}]:{SSH_PORT} {key[0]} {key[1]}")
        self.known_hosts.write_text("\n".join(known) + "\n")
        own(self.known_hosts)

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
        own(self.inventory)


def name_of(number: int) -> str:
    """Return a Pi's name in the inventory: pi-01, pi-02, ..."""
    return f"pi-{number:02d}"


def address_at(block: str, number: int) -> str:
    """Return the loopback address of a Pi in a block such as 127.77.0.0."""
    return block.removesuffix("0") + str(number)


def ssh_options(state: State) -> list[str]:
    """Return ssh's options: trust a host key on first use only, and offer only the fleet's key."""
    return [
        "-o",
        f'UserKnownHostsFile="{state.known_hosts}"',
        "-o",
        "StrictHostKeyChecking=accept-new",
        "-o",
        "IdentitiesOnly=yes",
    ]
