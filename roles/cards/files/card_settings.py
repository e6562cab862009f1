"""A card's classroom.yml: what `make cards` writes into it, checked as the Pi will check it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from first_boot import Classroom, wifi_key  # the Pi's own program

Settings = dict[str, Any]

# The settings of a network that has a password and nothing else.
PLAIN = {"name", "password", "hidden"}


def with_keys(wifi: Settings, ask: Callable[[str], str]) -> Settings:
    """Return the Wi-Fi settings with keys instead of passwords, so that the school's password is on no card.

    ask: returns a network's password by its name. Only networks that do not have one are asked for. What does not have
    the form of Wi-Fi settings is left for `mistakes`.
    """
    networks = wifi.get("networks")
    if not isinstance(networks, list):
        return wifi
    return wifi | {"networks": [_with_key(network, ask) for network in networks]}


def _with_key(network: Any, ask: Callable[[str], str]) -> Any:
    # WPA3's SAE needs the password itself, and so does a network with user names. So whatever has further settings
    # keeps its password.
    if not isinstance(network, dict) or not isinstance(network.get("name"), str) or set(network) - PLAIN:
        return network
    password = network.get("password")
    if password is None:
        password = ask(network["name"])
    if isinstance(password, str) and 8 <= len(password.encode()) <= 63:
        password = wifi_key(network["name"], password)
    return network | {"password": password}


def classroom_yml(pi: str, settings: Settings) -> bytes:
    """Return the file for a Pi. Empty settings are left out."""
    given = {key: value for key, value in settings.items() if value not in ("", [], {}, None)}
    text: str = (
        f"# Written by `make cards` for {pi}. You may change this file; the Pi applies it once, at its next start.\n"
        "# All settings are explained in the manual, on the page “The file classroom.yml”.\n"
        + yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=math.inf)
    )
    return text.replace("\n", "\r\n").encode()  # for Notepad


def mistakes(content: bytes) -> list[str]:
    """Return a sentence for each setting that the Pi would refuse. No sentence quotes a password."""
    return list(Classroom(content, Path("/")).mistakes.values())
