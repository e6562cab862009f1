"""Ansible filters: addresses of this computer and of Pis."""

from __future__ import annotations

import socket

from ansible.errors import AnsibleFilterError

SOMEWHERE = "192.0.2.1"  # beyond the router: reserved for documentation (RFC 5737), so in no network


def address_towards(host: str) -> str:
    """Return this computer's source address towards a host. Nothing is sent.

    For a virtual Pi on this computer, return the address towards the router. AnsibleFilterError: unknown or no route.
    """
    try:
        source = _source(host)
        return _source(SOMEWHERE) if source.startswith("127.") or source == "::1" else source
    except OSError as error:
        raise AnsibleFilterError(
            f"This computer does not know how to reach {host} ({error.strerror or error}): set cluster_address."
        ) from error


def _source(host: str) -> str:
    family, kind, *_, place = min(socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM), key=lambda info: info[0])
    with socket.socket(family, kind) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0]).partition("%")[0]


def url_host(host: str) -> str:
    """Return a host as written in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"address_towards": address_towards, "url_host": url_host}
