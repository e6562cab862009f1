"""The virtual Pis of one state folder: start them, look at them, hurt them, and remove them."""

import json
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from .container import Container, ensure_network, has_network, remove_containers
from .host import PROJECT, ensure_packages, ensure_watches
from .pi import why_taken
from .podman import why_no_containers
from .root import ensure_disk, ensure_image, recipe_of
from .shell import SUDO, VirtualError, say, stage
from .state import Settings, State, address_at
from .vm import Vm

LARGEST_FLEET = 200
_KINDS: dict[str, type[Container] | type[Vm]] = {"container": Container, "vm": Vm}


class Fleet:
    """The virtual Pis of one state folder, at one block of loopback addresses, by default the first that is free.

    Fleets that run at the same time need different folders and blocks. A method that fails raises VirtualError.
    """

    def __init__(self, state: Path = PROJECT / "build/virtual", *, address: str = "") -> None:
        self.state = State(state)
        self.address = address

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
        students: int = 1,
    ) -> None:
        """Start ``size`` Pis, or what is missing of them, and wait until each accepts an SSH login.

        ``kind`` is container, vm, or auto: that of the existing Pis, or vm where containers cannot run. A first start
        that fails leaves nothing.
        """
        if not 1 <= size <= LARGEST_FLEET:
            raise VirtualError(f"A fleet of {size} is not possible; give a number from 1 to {LARGEST_FLEET}.")
        if system == "raspios" and suite != "trixie":
            raise VirtualError(f"Raspberry Pi OS is available as trixie only, not as {suite}.")
        new = self.state.load("fleet", Settings) is None
        try:
            self._up(size, Settings(suite, self.address, list(publish), system, base, kind, students=students))
        except VirtualError:
            if new:
                self.down()
            raise

    def _up(self, size: int, wanted: Settings) -> None:
        began = time.monotonic()
        settings = self._settle(wanted)
        self.state.save("fleet", settings)  # so that `down` can clean up if we are killed
        if not settings.root:
            make = ensure_disk if settings.kind == "vm" else ensure_image
            settings = replace(settings, root=str(make(recipe_of(settings.suite, settings.os))))
            self.state.save("fleet", settings)
        self.state.ensure_key()
        for number in range(1, size + 1):
            _KINDS[settings.kind](self.state, settings, number).ensure_folder()
        members = self.members
        self.state.known_hosts.write_text("".join(member.known_host() for member in members))
        addresses = {member.name: member.address for member in members}
        seats = [f"seat{number:02}" for number in range(1, settings.students + 1)]
        students = f" students='{json.dumps(seats)}'" if len(seats) > 1 else ""
        self.state.write_inventory(addresses, members[0].inventory_settings + students)
        self._switch_on(members)
        say(
            f"{len(members)} virtual {'Pi' if len(members) == 1 else 'Pis'} of {settings.os} {settings.suite}, "
            f"{time.monotonic() - began:.1f} s; the inventory is {self.state.inventory}."
        )

    def _settle(self, wanted: Settings) -> Settings:
        """Choose the kind and the addresses, unless there is a fleet: then return its settings, or refuse others."""
        present = self.state.load("fleet", Settings)
        if wanted.kind == "auto":
            wanted = replace(wanted, kind=present.kind if present else _possible_kind())
        ensure_packages(wanted.kind)
        if present is None:
            return replace(wanted, address=wanted.address or free_block(wanted.kind))
        for name in ("kind", "suite", "os", "students", "publish"):
            before, after = getattr(present, name), getattr(wanted, name)
            if before != after:
                raise VirtualError(
                    f"The fleet in {self.state.folder} has the {name} {before}, not {after}; "
                    "run `make demo-stop` first."
                )
        return present

    def _switch_on(self, members: Sequence[Container | Vm]) -> None:
        """Start those that are off, repair the others, and wait for SSH."""
        asleep = [member for member in members if member.status() == "stopped"]
        for member in members:
            if member not in asleep and isinstance(member, Container):
                member.freeze(False)
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
        with stage(f"Removing the fleet in {self.state.folder}"):
            settings = Settings()
            with suppress(VirtualError):  # of another version, or damaged
                settings = self.state.load("fleet", Settings) or settings
            for number in self.state.numbers():
                Vm(self.state, settings, number).kill()
            if shutil.which("podman") and settings.kind == "container":
                remove_containers(self.state, settings.base)
            self.state.remove("fleet.json", "fleet.partial")

    @property
    def members(self) -> Sequence[Container | Vm]:
        """The Pis; none if the fleet was never started."""
        settings = self.state.load("fleet", Settings) or Settings()
        return [_KINDS[settings.kind](self.state, settings, number) for number in self.state.numbers()]

    # -- one Pi ----------------------------------------------------------------------------------------

    def member(self, name: str) -> Container | Vm:
        """Return the Pi of that name."""
        return {member.name: member for member in self.members}[name]

    def container(self, name: str) -> Container:
        """Return the Pi of that name, which is a container: only these can be frozen or saved."""
        pi = self.member(name)
        assert isinstance(pi, Container)
        return pi

    def start(self, *names: str) -> None:
        """Switch Pis on, with the disks they have, or thaw them."""
        self._switch_on([self.member(name) for name in names])


def free_block(kind: str) -> str:
    """Return the first block of addresses that no fleet uses, whether it is on or off."""
    for block in (f"127.77.{number}.0" for number in range(256)):
        if not (why_taken(address_at(block, 1)) or (kind == "container" and has_network(block))):
            return block
    raise VirtualError("Other fleets use all addresses: remove one of them, with `make demo-stop` in its folder.")


def _possible_kind() -> str:
    """Return container, or vm where containers cannot run."""
    reason = why_no_containers()
    if not reason:
        return "container"
    say(f"Containers cannot run here ({reason}), so each Pi is a virtual machine.")
    say("The first start takes about 12 minutes, or 5 with KVM.")
    return "vm"
