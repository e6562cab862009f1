"""Find Pis on the network, and propose lines for classroom.ini. Nothing is changed, here or there.

    python -m mynn_control.find [--names 'pi[01:40]'] [--inventory classroom.ini]

It uses multicast DNS (like `ping pi01.local`) on this computer's network. A Pi that is already a notebook server
announces itself. A fresh Pi only answers to its name: the usual names and those of `--names` are tried.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import itertools
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.plugins.inventory import detect_range, expand_hostname_range
from zeroconf import (  # type: ignore[attr-defined]
    AddressResolver,
    BadTypeInNameException,
    IPVersion,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from ansible_collections.mynn.pi.plugins.module_utils.text import HOST_LABEL
from mynn_control.own_files import load_inventory
from mynn_control.translation import N_, _

OURS = "_mynn-pi._tcp.local."
# Ours, and services that other Pis may announce but printers and televisions do not.
SERVICES = (OURS, "_workstation._tcp.local.", "_ssh._tcp.local.", "_sftp-ssh._tcp.local.")
# Imager's default, avahi's variants of it if the name is taken, and the names in our manual.
USUAL = ("raspberrypi", "raspberrypi-[2:9]", "pi[01:40]")
# Any computer on the network may answer, with any bytes as its name, and an inventory's settings can run programs. Only
# host names are accepted, except those that Ansible takes for this computer, a group or an address.
HOST_NAME = re.compile(rf"(?=.{{1,247}}\Z)({HOST_LABEL}\.)*(?!\d+\Z){HOST_LABEL}", re.ASCII)
NOT_A_PI = {"all", "localhost", "pis", "ungrouped"}
MOST = 500  # answers; an attacker may send thousands
SECONDS = 5  # to wait for answers
SILENCE = N_(
    "No Pi answered. Check that they have been on for two minutes, and are on this computer's network. Some school"
    " networks isolate Wi-Fi devices: then ask the administrator for the Pis' addresses."
)


@dataclass
class Found:
    """A computer that answered. was_asked_for: its name was; is_server: it serves notebooks; is_set_up: for a class."""

    addresses: set[str] = field(default_factory=set)
    was_asked_for: bool = False
    is_server: bool = False
    is_set_up: bool = False


@dataclass(frozen=True)
class Proposal:
    """A computer that was found, and its proposed entry in an inventory.

    found: its current name. name: in the inventory. address: "" if this computer resolves the name. note: a description
    in words. known: whether the inventory has it. suits: whether to add it.
    """

    found: str
    addresses: str
    name: str
    address: str
    note: str
    known: bool
    suits: bool


def expand(name: str) -> list[str]:
    """Return the names in a range such as `pi[01:30].local`, or the single name, without `.local`."""
    names = expand_hostname_range(name) if detect_range(name) else [name]
    return [str(name).removesuffix(".local") for name in names]


def is_host_name(name: str) -> bool:
    """Return whether a Pi may have this name in an inventory."""
    return bool(HOST_NAME.fullmatch(name)) and name.lower() not in NOT_A_PI


def is_reachable(address: str) -> bool:
    """Return whether a Pi may have this address: not loopback, multicast, reserved or unspecified."""
    ip = ipaddress.ip_address(address)
    return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_reserved)


def service_info(service: str, name: str) -> AsyncServiceInfo | None:
    """Return a query for an announced service, or None if its name is malformed."""
    try:
        return AsyncServiceInfo(service, name)
    except BadTypeInNameException:
        return None


async def ask(names: Iterable[str]) -> dict[str, Found]:
    """Return the computers that answer, by name without `.local`."""
    found: dict[str, Found] = {}
    announced: set[tuple[str, str]] = set()

    def note(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            announced.add((service_type, name))

    def add(info: Any, *, was_asked_for: bool = False, is_server: bool = False) -> None:
        host = found.setdefault(str(info.server).removesuffix(".").removesuffix(".local"), Found())
        host.addresses |= {address for address in info.parsed_addresses(IPVersion.V4Only) if is_reachable(address)}
        host.was_asked_for |= was_asked_for
        host.is_server |= is_server
        host.is_set_up |= is_server and info.properties.get(b"set-up") == b"yes"

    async with AsyncZeroconf() as network:

        async def resolve(name: str) -> None:
            info = AddressResolver(f"{name}.local.")
            if await info.async_request(network.zeroconf, SECONDS * 1000):
                add(info, was_asked_for=True)

        async def resolve_service(service: str, name: str) -> None:
            info = service_info(service, name)
            if info is None:
                found.setdefault(name, Found())  # without an address: counted as left out
            elif await info.async_request(network.zeroconf, 3000):
                add(info, is_server=service == OURS)

        async def look() -> None:
            browser = AsyncServiceBrowser(network.zeroconf, list(SERVICES), handlers=[note])
            await asyncio.sleep(SECONDS)
            await browser.async_cancel()
            await asyncio.gather(*(resolve_service(*pair) for pair in sorted(announced)[:MOST]))

        await asyncio.gather(look(), *(resolve(name) for name in names))
    return found


def is_resolved(name: str) -> bool:
    """Return whether this computer can resolve a name, as SSH must."""
    try:
        socket.getaddrinfo(name, 22)
    except OSError:
        return False
    return True


def in_order(name: str) -> list[str | int]:
    """Return a sort key that puts pi2 before pi10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def resolved(names: Sequence[str]) -> set[str]:
    """Return the names that this computer resolves within SECONDS."""
    pool = ThreadPoolExecutor(32)
    asked = {pool.submit(is_resolved, name): name for name in names}
    done, _ = wait(asked, SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    return {asked[answer] for answer in done if answer.result()}


def search(names: Iterable[str] = ()) -> dict[str, Found]:
    """Return the computers that answer, by name. names: further ones to ask for. LookupError: why none answered."""
    every = dict.fromkeys(one for word in (*USUAL, *names) for one in expand(word))
    try:
        found = asyncio.run(asyncio.wait_for(ask(every), 4 * SECONDS))
    except OSError as error:
        wrong = _("The network could not be searched ({reason}): connect this computer to the Pis' network.")
        raise LookupError(wrong.format(reason=error.strerror)) from error
    if not found:
        raise LookupError(_(SILENCE))
    return found


def proposals(found: dict[str, Found], known: Iterable[str]) -> list[Proposal]:
    """Return proposals for an inventory, sorted by name. known: the names that it has.

    Names come from the network: invalid host names are left out.
    """
    found = {name: host for name, host in found.items() if is_host_name(name) and host.addresses}
    taken = {name.partition(".")[0] for name in known}
    free = (unused for number in itertools.count(1) if (unused := f"pi{number:02}") not in taken | set(found))
    by_name = resolved([f"{name}.local" for name in found])
    return [_proposal(name, found[name], taken, free, by_name) for name in sorted(found, key=in_order)]


def _proposal(name: str, host: Found, taken: set[str], free: Iterator[str], by_name: set[str]) -> Proposal:
    addresses = " ".join(sorted(host.addresses))
    first, full, suits = addresses.partition(" ")[0], f"{name}.local", True
    named = (full, "") if full in by_name else (name, first)
    known = name in taken
    if known:
        note, suits = _("is already in the inventory"), False
    elif host.is_set_up:
        note, suits = _("is set up already, perhaps for another class"), False
    elif host.is_server:
        note = _("is a notebook server")
    elif name.startswith("raspberrypi"):  # it will be renamed as in the inventory
        named = (next(free), first)
        note = _("is called {name} and gets this name").format(name=name)
    elif host.was_asked_for:
        note = _("is not a notebook server yet")
    else:
        note, suits = _("may be another computer"), False
    return Proposal(name, addresses, *named, note, known, suits)


def lines(found: dict[str, Found], known: Iterable[str]) -> list[str]:
    """Return lines for an inventory. Known Pis, and computers that may not be Pis, become comments."""
    shown = []
    for one in proposals(found, known):
        line = f"{one.name} ansible_host={one.address}" if one.address else one.name
        shown.append(f"{'' if one.suits else '# '}{line}   # {one.addresses}: {one.note}")
    if refused := len(found) - len(shown):
        shown.append(f"# Left out: {refused} without a valid host name or address.")
    return shown


def main() -> None:
    """Print lines for the Pis that answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", action="append", default=[], help="more names to ask for, such as 'lab[1:20]'")
    parser.add_argument(
        "--inventory", type=Path, default=Path("classroom.ini"), help="the inventory with the known Pis"
    )
    options = parser.parse_args()
    print(f"Searching the network for {SECONDS} seconds ...", file=sys.stderr)
    try:
        found = search(options.names)
    except LookupError as error:
        other = " To search for names other than pi01 to pi40: make find NAMES='lab[1:20]'."
        sys.exit(f"{error}{other if str(error) == SILENCE else ''}")
    known = load_inventory(options.inventory).hosts if options.inventory.exists() else []
    print("\n".join(["# For classroom.ini, below [pis]:", *lines(found, known)]))


if __name__ == "__main__":
    main()
