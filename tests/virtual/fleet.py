"""The virtual Pis of one state folder: start them, look at them, hurt them, and remove them."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from .container import Container, ensure_network, remove_containers
from .host import PROJECT, ensure_packages, ensure_watches
from .pi import Member, ssh_command
from .podman import why_no_containers
from .root import ensure_disk, ensure_image, recipe_of
from .shell import SUDO, VirtualError, say, stage
from .state import SSH_PORT, Settings, State, address_at
from .vm import Vm

LARGEST_FLEET = 200
_KINDS: dict[str, type[Member]] = {"container": Container, "vm": Vm}


class Fleet:
    """The virtual Pis of one state folder, at one block of loopback addresses.

    Fleets that run at the same time need different folders and blocks. A method that fails raises VirtualError.
    """

    def __init__(self, state: Path = PROJECT / "build/virtual", *, address: str = "127.77.0.0") -> None:
        self.state = State(state)
        self.address = address

    @property
    def inventory(self) -> Path:
        """The Ansible inventory of this fleet, with the group ``pis``."""
        return self.state.inventory

    # -- the whole fleet -------------------------------------------------------------------------------

    def up(
        self,
        size: int = 1,
        *,
        suite: str = "trixie",
        publish: Iterable[int] = (8888,),
        system: str = "debian",
        base: str = "",
        kind: str = "container",
        clock: str = "",
    ) -> None:
        """Start ``size`` Pis, or what is missing of them, and wait until each accepts an SSH login.

        ``kind`` is container, vm, or auto: that of the existing Pis, or vm where containers cannot run.
        """
        if not 1 <= size <= LARGEST_FLEET:
            raise VirtualError(f"A fleet of {size} is not possible; give a number from 1 to {LARGEST_FLEET}.")
        settings = Settings(suite, self.address, tuple(publish), system, base, kind, clock).check()
        with self.state.locked():
            began = time.monotonic()
            wanted = self._settle(settings)
            ensure_packages(wanted.kind)
            self.state.save(wanted)  # so that `down` can clean up if we are killed
            recipe = recipe_of(wanted.suite, wanted.os)
            if not self.state.numbers():
                wanted = replace(wanted, root=str((ensure_disk if wanted.kind == "vm" else ensure_image)(recipe)))
                self.state.save(wanted)
            self.state.ensure_key()
            numbers = sorted({*self.state.numbers(), *range(1, size + 1)})
            if len(numbers) > size:
                say(f"{len(numbers)} Pis exist already; all of them are kept (`down` removes them).")
            members = [_KINDS[wanted.kind](self.state, wanted, number) for number in numbers]
            for member in members:
                member.ensure_folder()
            self.state.write_known_hosts(wanted, numbers)
            addresses = {member.name: member.address for member in members}
            self.state.write_inventory(addresses, members[0].inventory_settings)
            self._switch_on(members)
            system_name = "Raspberry Pi OS" if system == "raspios" else "Debian"
            say(
                f"{len(members)} virtual {'Pi' if len(members) == 1 else 'Pis'} of {system_name} {suite}, "
                f"{time.monotonic() - began:.1f} s; the inventory is {self.inventory}."
            )

    def _settle(self, wanted: Settings) -> Settings:
        """Choose the kind, and take from an existing fleet what was not asked for."""
        if not self.state.exists():
            if wanted.kind == "auto":
                reason = why_no_containers()
                if reason:
                    say(f"Containers cannot run here ({reason}), so each Pi is a virtual machine.")
                    say("The first start takes about 12 minutes, or 5 with KVM.")
                return replace(wanted, kind="vm" if reason else "container")
            return wanted
        present = self.state.load()
        kind = present.kind if wanted.kind == "auto" else wanted.kind
        wanted = replace(wanted, kind=kind, base=wanted.base or present.base, root=present.root)
        self.state.refuse_changes(wanted)
        return wanted

    def _switch_on(self, members: Sequence[Member]) -> None:
        """Start those that are off, repair the others, and wait for SSH."""
        statuses = {member.name: member.status() for member in members}
        asleep = [member for member in members if statuses[member.name] not in ("running", "frozen")]
        for member in members:
            if member not in asleep:
                member.freeze(False)
                member.plug(True)
        if not asleep:
            return
        for member in asleep:
            member.check_address()
        names = ", ".join(member.name for member in asleep)
        with stage(f"Starting {names}"), ThreadPoolExecutor(4) as pool:
            if isinstance(members[0], Container):
                ensure_watches(len(self.state.numbers()))
                ensure_network(self.state, members[0].settings.address)
            list(pool.map(lambda member: member.start(), asleep))
        with stage(f"Waiting for SSH on {names}"):
            for member in asleep:
                member.wait_for_ssh(member.patience)

    def down(self) -> None:
        """Remove the fleet: its Pis, their disks and their network. What is in the cache is kept."""
        if SUDO and not self.state.folder.exists():
            return  # sudo would ask for a password for nothing
        with self.state.locked(), stage(f"Removing the fleet in {self.state.folder}"):
            try:
                settings = self.state.load()
            except VirtualError:  # damaged, or never started
                settings = Settings(address=self.address)
            for number in self.state.numbers():
                Vm(self.state, settings, number).kill()
            if shutil.which("podman") and settings.kind == "container":
                remove_containers(self.state, settings.base)
            shutil.rmtree(self.state.pis, ignore_errors=True)
            self.state.remove()

    def list(self) -> list[dict[str, object]]:
        """Return name, status, address, ssh_port, ports, kind, suite and os of each Pi."""
        return [
            {
                "name": member.name,
                "status": member.status(),
                "address": member.address,
                "ssh_port": SSH_PORT,
                "ports": list(member.settings.publish),
                "kind": member.settings.kind,
                "suite": member.settings.suite,
                "os": member.settings.os,
            }
            for member in (self._members if self.state.exists() else [])
        ]

    # -- one Pi ----------------------------------------------------------------------------------------

    def status(self, name: str) -> str:
        """Return running, frozen, stopped or broken."""
        return self.member(name).status()

    def start(self, name: str) -> None:
        """Switch a Pi on, with the disk it has."""
        self._act(name, lambda pi: self._switch_on([pi]))

    def stop(self, name: str) -> None:
        """Shut a Pi down cleanly."""
        self._act(name, lambda pi: pi.stop())

    def kill(self, name: str) -> None:
        """Cut a Pi's power; it stays in the inventory, and its disk is kept."""
        self._act(name, lambda pi: pi.kill())

    def reset(self, name: str) -> None:
        """Start a Pi with a fresh disk and the same SSH host key."""

        def reset(pi: Member) -> None:
            pi.reset()
            self._switch_on([pi])

        self._act(name, reset)

    def freeze(self, name: str) -> None:
        """Make a Pi hang: it accepts connections, but does not answer."""
        self._act(name, lambda pi: pi.freeze(True), running=True)

    def thaw(self, name: str) -> None:
        """Let a frozen Pi continue."""
        self._act(name, lambda pi: pi.freeze(False), running=True)

    def unplug(self, name: str) -> None:
        """Unplug a Pi's network cable; the Pi keeps running."""
        self._act(name, lambda pi: pi.plug(False), running=True)

    def plug(self, name: str) -> None:
        """Plug the network cable back in."""
        self._act(name, lambda pi: pi.plug(True), running=True)

    def save(self, name: str) -> str:
        """Save the disk of a stopped container, for another fleet to start from (``base``)."""
        pi = self.member(name)
        if not isinstance(pi, Container):
            raise VirtualError("Only the disk of a container can be saved.")
        return pi.save()

    def ssh(self, name: str, command: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on a Pi over SSH, as Ansible's account."""
        argv = ssh_command(self.state, address_at(self.address, int(name.removeprefix("pi-"))), command)
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)

    def member(self, name: str) -> Member:
        """Return the Pi of that name. Raises VirtualError, with the existing names, if there is none."""
        members = {member.name: member for member in self._members}
        if name not in members:
            names = ", ".join(members) or "none"
            raise VirtualError(f"There is no {name} in the fleet in {self.state.folder}, only: {names}.")
        return members[name]

    @property
    def _members(self) -> Sequence[Member]:
        settings = self.state.load()
        return [_KINDS[settings.kind](self.state, settings, number) for number in self.state.numbers()]

    def _act(self, name: str, action: Callable[[Member], None], running: bool = False) -> None:
        with self.state.locked():
            pi = self.member(name)
            if running and pi.status() not in ("running", "frozen"):
                raise VirtualError(f"{name} is not running; `start {name}` starts it.")
            action(pi)
