"""Commands on a fleet: up, down, list, and the actions on one of its Pis."""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .host import PROJECT, ensure_packages, ensure_watches, own
from .machine import Machine, remove_outside
from .mounts import mounts_below, unmount_below
from .pi import MEMORY_MIB, Member
from .root import ensure_disk, ensure_root, recipe_of
from .shell import VirtualError, say, spawn, stage
from .state import LARGEST_FLEET, SSH_PORT, Settings, State, address_at, name_of
from .vm import Vm

_MARK = ".removed-"  # marks a folder that is being deleted
_KINDS: dict[str, type[Member]] = {"container": Machine, "vm": Vm}


@contextmanager
def locked(state: State, patience: float = 300) -> Iterator[None]:
    """Lock the fleet. The kernel releases the lock however this process ends."""
    state.folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    announced = False
    while True:
        lock = os.open(state.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(lock, state.folder):
                break
        except BlockingIOError:
            if not announced:
                say("Waiting for another command that is using this fleet.")
                announced = True
        os.close(lock)
        if time.monotonic() > deadline:
            raise VirtualError(
                f"Another command has been using the fleet in {state.folder} for more than "
                f"{patience:.0f} s; stop it, then try again."
            )
        time.sleep(0.1)
        state.folder.mkdir(parents=True, exist_ok=True)  # `down` may have removed it
    try:
        yield
    finally:
        os.close(lock)


def _is_same(descriptor: int, folder: Path) -> bool:
    return folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat())


def check_size(size: int) -> None:
    """Raise VirtualError if a fleet cannot have this size."""
    if not 1 <= size <= LARGEST_FLEET:
        raise VirtualError(f"A fleet of {size} is not possible; give a number from 1 to {LARGEST_FLEET}.")


def up(state: State, wanted: Settings, size: int, cache: Path) -> None:
    """Start a fleet of ``size`` Pis, or what is missing of it, and wait for SSH."""
    ensure_packages(wanted.kind)
    with locked(state):
        began = time.monotonic()
        own(state.folder)
        remove_leftovers(state.folder)
        if state.exists() and not wanted.base:
            wanted = replace(wanted, base=state.load()[0].base)  # as the existing Pis
        lower = _lower(state, wanted, cache)
        state.save(wanted, lower)
        state.ensure_key()
        numbers = sorted({*state.numbers(), *range(1, size + 1)})
        if wanted.kind == "container":
            ensure_watches(len(numbers))
        if len(numbers) > size:
            say(f"{len(numbers)} Pis exist already; all of them are kept (`down` removes them).")
        members = [_KINDS[wanted.kind](state, wanted, lower, number) for number in numbers]
        started = _start(members)
        state.write_known_hosts(wanted, numbers)
        addresses = {name_of(number): address_at(wanted.address, number) for number in numbers}
        state.write_inventory(addresses, _KINDS[wanted.kind].inventory_settings)
        if started:
            with stage(f"Waiting for SSH on {_names(started)}"):
                for member in started:
                    member.wait_for_ssh(member.patience)
        say(
            f"{len(members)} virtual {'Pi' if len(members) == 1 else 'Pis'} of {_system(wanted)}, "
            f"{time.monotonic() - began:.1f} s; the inventory is {state.inventory}."
        )
        if state.group_vars.exists():
            say(f"The sudo password is in {state.group_vars}; without that file, Ansible asks for it.")


def _lower(state: State, wanted: Settings, cache: Path) -> Path:
    """Return the lower layer of the Pis' disks: that of the existing Pis, or the newest."""
    if wanted.kind == "container":
        (state.group / "build").kill()  # a killed `up` may have left its mmdebstrap
    if state.exists():
        settings, lower = state.load()
        for what, present, requested in (
            ("kind", settings.kind, wanted.kind),
            ("suite", settings.suite, wanted.suite),
            ("system", settings.os, wanted.os),
            ("address", settings.address, wanted.address),
            ("base", settings.base, wanted.base),
        ):
            if present != requested:
                raise VirtualError(
                    f"The fleet in {state.folder} has the {what} {present}, not {requested}; "
                    "run `make demo-stop` first."
                )
        if state.numbers():
            return lower
    state.save(wanted, Path())  # so that `down` can clean up if we are killed
    recipe = recipe_of(wanted.suite, wanted.os)
    if wanted.kind == "vm":
        return ensure_disk(recipe, cache)
    return ensure_root(recipe, cache, state.group / "build")


def _start(members: list[Member]) -> list[Member]:
    todo = []
    for member in members:
        status = member.status()
        if status == "frozen":
            member.freeze(False)
        if status in ("running", "frozen") and not member.settings_changed():
            member.plug(True)
            continue
        todo.append(member)
    kept = [member for member in members if member not in todo]
    if kept:
        say(f"Already running: {_names(kept)}.")
    if todo:
        with stage(f"Starting {_names(todo)}, {MEMORY_MIB} MiB each"):
            for member in todo:
                if member.status() == "running":
                    member.stop()  # its settings have changed
                member.ensure_identity()
                member.start()
    return todo


def down(state: State, wait: bool = False) -> None:
    """Remove the fleet: its processes, mounts, namespaces, control groups and disks. The cache is kept.

    The disks are deleted in the background, unless ``wait``.
    """
    with locked(state):
        with stage(f"Removing the fleet in {state.folder}"):
            if state.kind != "container":
                for number in state.numbers():
                    Vm(state, Settings(), Path(), number).clean_up()
            if state.kind != "vm" and os.geteuid() == 0:
                _remove_containers(state)
            if state.pis.is_dir():
                remove_later(state.pis, state.folder)
            for file in (
                state.key,
                state.key.with_suffix(".pub"),
                state.known_hosts,
                state.inventory,
                state.group_vars,
                state.settings_file,
                state.settings_file.with_suffix(".partial"),
            ):
                file.unlink(missing_ok=True)
            if state.group_vars.parent.is_dir():
                state.group_vars.parent.rmdir()
            remove_leftovers(state.folder, wait)
        if not any(state.folder.iterdir()):
            state.folder.rmdir()


def remove_later(folder: Path, beside: Path) -> None:
    """Move a folder next to ``beside``, where ``remove_leftovers`` finds it."""
    aside = tempfile.mkdtemp(prefix=f".{beside.name}{_MARK}", dir=beside.parent)
    folder.rename(Path(aside, folder.name))


def remove_leftovers(beside: Path, wait: bool = False) -> None:
    """Delete the folders that ``remove_later`` moved, now or earlier; in the background, unless ``wait``."""
    leftovers = [path for path in beside.parent.glob(f".{beside.name}{_MARK}*") if path.is_dir()]
    if wait:
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)  # another process may be deleting it too
    elif leftovers:
        say("The disks are being deleted in the background.")
        spawn(["nice", "-n", "19", "ionice", "-c", "3", "rm", "-rf", *leftovers], log=Path(os.devnull), cwd=PROJECT)


def _remove_containers(state: State) -> None:
    processes = len(state.group.members())
    # Before unmounting, so that nothing uses the mounts.
    state.group.kill()
    mounts = unmount_below(state.folder) + remove_outside(f"{state.prefix}-*")
    state.group.remove()
    if mounts_below(state.folder):
        raise VirtualError(f"There are still mounts below {state.folder}; nothing there was deleted.")
    say(f"{processes} processes killed, {mounts} mounts removed.")


def members_of(state: State) -> list[Member]:
    """Return the fleet's Pis, running or not."""
    settings, lower = state.load()
    return [_KINDS[settings.kind](state, settings, lower, number) for number in state.numbers()]


def member_named(state: State, name: str) -> Member:
    """Return the Pi of that name. Raises VirtualError, with the existing names, if there is none."""
    members = members_of(state)
    for member in members:
        if member.name == name:
            return member
    names = ", ".join(member.name for member in members) or "none"
    raise VirtualError(f"There is no {name} in the fleet in {state.folder}, only: {names}.")


def show(state: State, as_json: bool) -> None:
    """Print each Pi's name, status and address."""
    rows = [
        {
            "name": member.name,
            "status": member.status(),
            "address": member.address,
            "ssh_port": SSH_PORT,
            "ports": list(member.settings.publish),
            "kind": member.settings.kind,
            "suite": member.settings.suite,
            "os": member.settings.os,
            "delay_ms": member.settings.delay_ms,
        }
        for member in (members_of(state) if state.exists() else [])
    ]
    if as_json:
        say(json.dumps(rows, indent=2))
    elif not rows:
        say(f"There is no fleet in {state.folder}.")
    else:
        for row in rows:
            address = f"{row['address']}:{row['ssh_port']}"
            say(f"{row['name']}  {row['status']:8}  {address}  {row['kind']}, {row['os']} {row['suite']}")


def act(state: State, action: str, name: str) -> None:
    """Start, stop, kill, reset, freeze, thaw, unplug or plug the Pi of that name."""
    member_named(state, name)  # before locking, which creates the folder
    with locked(state):
        member = member_named(state, name)
        running = member.status() in ("running", "frozen")
        if action in ("freeze", "thaw", "unplug", "plug") and not running:
            raise VirtualError(f"{name} is not running, so there is nothing to {action}; `start {name}` starts it.")
        if action == "start":
            if not running:
                member.start()
            member.wait_for_ssh(member.patience)
        elif action == "stop":
            member.stop()
        elif action == "kill":
            member.clean_up()
        elif action == "reset":
            member.reset()
            member.start()
            member.wait_for_ssh(member.patience)
        elif action in ("freeze", "thaw"):
            member.freeze(action == "freeze")
        else:
            member.plug(action == "plug")
        say(f"{name}: {action} done, now {member.status()}.")


def save(state: State, name: str, folder: Path) -> None:
    """Save the disk of a stopped container, for another fleet to start from."""
    with locked(state):
        member = member_named(state, name)
        if not isinstance(member, Machine) or member.status() != "stopped":
            raise VirtualError(f"Only the disk of a stopped container can be saved: `stop {name}` first.")
        member.clean_up()
        folder.mkdir(parents=True)
        member.save(folder)
        say(f"{name}: disk saved to {folder}.")


def _system(settings: Settings) -> str:
    return f"{'Raspberry Pi OS' if settings.os == 'raspios' else 'Debian'} {settings.suite}"


def _names(members: list[Member]) -> str:
    return ", ".join(member.name for member in members)
