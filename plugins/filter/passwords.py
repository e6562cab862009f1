"""Ansible filter: hash passwords for the Jupyter server, on the control node."""

from __future__ import annotations

import argon2


def jupyter_hash(password: str, salt: str) -> str:
    """Hash a password with argon2id; the same password and salt give the same hash, so a second run changes nothing.

    The costs (19 MiB, two passes, one lane) are the least that OWASP's cheat sheet on password storage allows: a Pi
    Zero has 427 MiB and one core, and pays them at each login.
    """
    hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    return "argon2:" + hasher.hash(password, salt=salt.encode())


def jupyter_hashes(passwords: dict[str, str], salts: list[str]) -> dict[str, str]:
    """Hash each password with the salt at the same position. Empty passwords are left out."""
    pairs = zip(passwords.items(), salts, strict=True)
    return {key: jupyter_hash(password, salt) for (key, password), salt in pairs if password}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"jupyter_hashes": jupyter_hashes}
