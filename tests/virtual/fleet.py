"""What can be done to a whole fleet: up, down, list, and the deeds to one Pi of it."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import VirtualError
from .host import cache_folder, ensure_packages, ensure_watches, own
from .machine import MEMORY_MIB, Machine, remove_outside
from .mounts import mounts_below, unmount_below
from .root import ensure_root
from .shell import say, stage
from .state import LARGEST_FLEET, SSH_PORT, Settings, State, address_at, name_of


@contextmanager
def locked(state: State, patience: float = 300) -> Iterator[None]:
    """Keep every other command off this fleet; the kernel lets go when this process ends, however it ends."""
    state.folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    said = False
    while True:
        lock = os.open(state.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(lock, state.folder):
                break
        except BlockingIOError:
            if not said:
                say("Waiting: another command is at work on this fleet.")
                said = True
        os.close(lock)
        if time.monotonic() > deadline:
            raise VirtualError(
                f"Another command has been at work on the fleet in {state.folder} for "
                f"{patience:.0f} s; end it, then try again."
            )
        time.sleep(0.1)
        state.folder.mkdir(parents=True, exist_ok=True)  # a `down` may have removed it meanwhile
    try:
        yield
    finally:
        os.close(lock)


def _is(descriptor: int, folder: Path) -> bool:
    return folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat())


def check_size(size: int) -> None:
    """Raise a sentence when a fleet cannot have so many Pis."""
    if not 1 <= size <= LARGEST_FLEET:
        raise VirtualError(f"A fleet of {size} is not possible; give a number from 1 to {LARGEST_FLEET}.")


def up(state: State, wanted: Settings, size: int, cache: Path | None = None) -> None:
    """Have ``size`` Pis running and reached over SSH; carry on from whatever is there."""
    ensure_packages()
    with locked(state):
        began = time.monotonic()
        own(state.folder)
        (state.group / "build").kill()  # an `up` that was killed may have left its mmdebstrap
        if state.exists():
            settings, root = state.load()
            if settings.suite != wanted.suite:
                raise VirtualError(
                    f"The fleet in {state.folder} is Debian {settings.suite}, not {wanted.suite}; "
                    "run `make demo-stop` first."
                )
            if settings.os != wanted.os:
                raise VirtualError(
                    f"The fleet in {state.folder} is of {settings.os}, not {wanted.os}; run `make demo-stop` first."
                )
            if settings.address != wanted.address:
                raise VirtualError(
                    f"The fleet in {state.folder} is at {settings.address}, not {wanted.address}; "
                    "run `make demo-stop` first."
                )
        if not state.numbers():  # with disks, it is the root that they lie over, or none
            root = ensure_root(wanted.suite, cache or cache_folder() / "virtual", state.group / "build", wanted.os)
        state.save(wanted, root)
        state.ensure_key()
        numbers = sorted({*state.numbers(), *range(1, size + 1)})
        ensure_watches(len(numbers))
        if len(numbers) > size:
            say(f"There are {len(numbers)} already: all are kept (`down` removes them).")
        machines = [Machine(state, wanted, root, number) for number in numbers]
        started = _start(machines)
        state.write_known_hosts(wanted, numbers)
        state.write_inventory({name_of(number): address_at(wanted.address, number) for number in numbers})
        if started:
            with stage(f"Waiting for SSH on {_names(started)}"):
                for machine in started:
                    machine.wait_for_ssh()
        say(
            f"{len(machines)} virtual {'Pi' if len(machines) == 1 else 'Pis'} of {_system(wanted)}, "
            f"{time.monotonic() - began:.1f} s; the inventory is {state.inventory}."
        )
        if state.group_vars.exists():
            say(f"The password that sudo wants is in {state.group_vars}: without this file, Ansible asks for it.")


def _start(machines: list[Machine]) -> list[Machine]:
    todo = []
    for machine in machines:
        status = machine.status()
        if status == "frozen":
            machine.freeze(False)
        if status in ("running", "frozen") and not machine.settings_changed():
            machine.plug(True)
            continue
        todo.append(machine)
    kept = [machine for machine in machines if machine not in todo]
    if kept:
        say(f"Running already: {_names(kept)}.")
    if todo:
        with stage(f"Starting {_names(todo)}, {MEMORY_MIB} MiB each"):
            for machine in todo:
                if machine.status() == "running":
                    machine.stop()  # it has other settings now
                machine.ensure_identity()
                machine.start()
    return todo


def down(state: State) -> None:
    """Leave nothing of the fleet: no process, mount, namespace, control group or disk. The root stays cached."""
    with locked(state):
        with stage(f"Removing the fleet in {state.folder}"):
            processes = len(state.group.members())
            # First the group: a process may be killed, but cannot leave it.
            state.group.kill()
            mounts = unmount_below(state.folder) + remove_outside(f"{state.prefix}-*")
            state.group.remove()
            if mounts_below(state.folder):
                raise VirtualError(f"Something is still mounted below {state.folder}; nothing there was deleted.")
            if state.pis.is_dir():
                shutil.rmtree(state.pis)
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
        say(f"{processes} processes ended, {mounts} mounts taken away.")
        if not any(state.folder.iterdir()):
            state.folder.rmdir()


def machines_of(state: State) -> list[Machine]:
    """Return the fleet's machines, running or not."""
    settings, root = state.load()
    return [Machine(state, settings, root, number) for number in state.numbers()]


def machine_named(state: State, name: str) -> Machine:
    """Return the machine of that name, or raise a sentence that lists the names there are."""
    machines = machines_of(state)
    for machine in machines:
        if machine.name == name:
            return machine
    there = ", ".join(machine.name for machine in machines) or "none"
    raise VirtualError(f"There is no {name} in the fleet in {state.folder}; there is: {there}.")


def show(state: State, as_json: bool) -> None:
    """Print each Pi, its address and how it is."""
    rows = [
        {
            "name": machine.name,
            "status": machine.status(),
            "address": machine.address,
            "ssh_port": SSH_PORT,
            "ports": list(machine.settings.publish),
            "suite": machine.settings.suite,
            "os": machine.settings.os,
            "delay_ms": machine.settings.delay_ms,
        }
        for machine in (machines_of(state) if state.exists() else [])
    ]
    if as_json:
        say(json.dumps(rows, indent=2))
    elif not rows:
        say(f"There is no fleet in {state.folder}.")
    else:
        for row in rows:
            say(f"{row['name']}  {row['status']:8}  {row['address']}:{row['ssh_port']}  {row['os']} {row['suite']}")


def act(state: State, deed: str, name: str) -> None:
    """Do one of the deeds to the Pi of that name: start, stop, kill, reset, freeze, thaw, unplug, plug."""
    machine_named(state, name)  # before the lock, which makes the folder
    with locked(state):
        machine = machine_named(state, name)
        running = machine.status() in ("running", "frozen")
        if deed in ("freeze", "thaw", "unplug", "plug") and not running:
            raise VirtualError(f"{name} is not running, so there is nothing to {deed}; `start {name}` starts it.")
        if deed == "start":
            if not running:
                machine.start()
            machine.wait_for_ssh()
        elif deed == "stop":
            machine.stop()
        elif deed == "kill":
            machine.clean_up()
        elif deed == "reset":
            machine.reset()
            machine.start()
            machine.wait_for_ssh()
        elif deed in ("freeze", "thaw"):
            machine.freeze(deed == "freeze")
        else:
            machine.plug(deed == "plug")
        say(f"{name}: {deed}, {machine.status()} now.")


def _system(settings: Settings) -> str:
    return f"{'Raspberry Pi OS' if settings.os == 'raspios' else 'Debian'} {settings.suite}"


def _names(machines: list[Machine]) -> str:
    return ", ".join(machine.name for machine in machines)
