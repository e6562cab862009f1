"""Ansible filter: names outside the X.509 name constraints of the classroom's certificate authority."""

from __future__ import annotations

from ipaddress import ip_address, ip_network


def outside_constraints(names: list[str], permitted: list[str]) -> list[str]:
    """Return the names (``DNS:pi01.local``, ``IP:10.0.0.7``) that no constraint permits.

    A constraint is a domain (``DNS:local``), which permits itself and all below it, or a network (``IP:10.0.0.0/8``),
    which permits its addresses (RFC 5280, section 4.2.1.10).
    """
    return [name for name in names if not any(_permits(constraint, name) for constraint in permitted)]


def _permits(constraint: str, name: str) -> bool:
    kind, _, wanted = name.partition(":")
    permitted_kind, _, permitted = constraint.partition(":")
    if kind != permitted_kind:
        return False
    if kind == "IP":
        return ip_address(wanted) in ip_network(permitted)
    return f".{wanted}".lower().endswith(f".{permitted}".lower())


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"outside_constraints": outside_constraints}
