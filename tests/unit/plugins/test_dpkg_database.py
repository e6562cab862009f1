"""What the facts find damaged in files of dpkg and apt, here those of the real dpkg in a root folder."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import faults, packages_in
from tests.support.conditions import holds
from tests.support.programs import ROOT

LISTS = "var/lib/apt/lists/mirror_debian_dists_trixie"
INDEX, RELEASE = f"{LISTS}_main_binary-armhf_Packages", f"{LISTS}_InRelease"


def look(root: Path) -> list[str]:
    """Return what must be repaired."""
    return list(faults(packages_in(root / "var/lib/dpkg"), root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder in which nothing must be repaired."""
    for name in ("lib/dpkg/info", "lib/dpkg/updates", "lib/apt/lists", "cache/apt/archives"):
        (tmp_path / "var" / name).mkdir(parents=True)
    fields = "Version: 1.0\nArchitecture: all\nMaintainer: Zoë <z@example.org>\nDescription: a test\n"
    packages = [f"Package: {name}\nStatus: install ok installed\n{fields}\n" for name in ("aa", "dpkg")]
    (tmp_path / "var/lib/dpkg/status").write_text("".join(packages), encoding="utf-8")
    index = b"Package: ee\n\n"
    (tmp_path / INDEX).write_bytes(index)
    sizes = f" {hashlib.sha256(index).hexdigest()} {len(index):8} main/binary-armhf/Packages\n"
    (tmp_path / RELEASE).write_text(f"SHA256:\n{sizes}-----END PGP SIGNATURE-----\n", encoding="ascii")
    assert look(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("var/lib/dpkg/updates/0000", b"Package: aa\n", "dpkg was interrupted"),
        ("var/lib/dpkg/status", b"", "dpkg's database is damaged"),  # to dpkg: no package is installed
        ("var/lib/dpkg/status", bytes(500), "dpkg's database is damaged"),
        ("var/cache/apt/archives/ee_1.0_all.deb", b"", "apt was interrupted"),
        (INDEX, bytes(13), "the lists of packages are damaged"),
        (INDEX, b"Package", "the lists of packages are damaged"),
        (RELEASE, b"-----END PGP SIG", "the lists of packages are damaged"),
    ],
)
def test_damage_is_found(root: Path, name: str, content: bytes, fault: str) -> None:
    (root / name).write_bytes(content)
    assert look(root) == [fault]


def test_half_installed_packages_are_reinstalled_and_others_left_alone(root: Path) -> None:
    path = root / "var/lib/dpkg/status"
    whole = path.read_text(encoding="utf-8")
    tasks = yaml.safe_load((ROOT / "roles/system/tasks/repair_dpkg.yml").read_text(encoding="utf-8"))
    settings = yaml.safe_load((ROOT / "roles/system/vars/main.yml").read_text(encoding="utf-8"))
    [listing] = [task for task in tasks if task.get("register") == "__system_states"]
    command = f"{listing['ansible.builtin.command']} --admindir={path.parent}"
    for state, reinstall in {
        "hold reinstreq installed": ["aa"],
        "deinstall ok half-installed": ["aa-"],
        "deinstall reinstreq half-installed": ["aa"],
        "install ok half-configured": [],
        "install ok triggers-awaited\nTriggers-Awaited: zz": [],
    }.items():
        path.write_text(re.sub("Status: .*", f"Status: {state}", whole, count=1), encoding="utf-8")
        assert len(look(root)) == 1, state
        states = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
        variables = settings | {"__system_states": {"stdout": states}}
        assert holds(f"__system_half == {reinstall}", variables), (state, states)
