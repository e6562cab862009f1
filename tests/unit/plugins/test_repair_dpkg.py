"""repair_dpkg repairs damage that stops dpkg or apt, here with the real dpkg in a temporary root folder."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import (
    Database,
    Files,
    LostError,
    faults,
    packages_in,
    plan,
    to_reinstall,
)
from ansible_collections.mynn.pi.plugins.modules import repair_dpkg

NATIVE = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
# By name, further lines of the control file. One of the packages may be installed for several architectures.
PACKAGES = {
    "aa": "Architecture: all",
    "bb": f"Architecture: {NATIVE}\nMulti-Arch: same",
    "dpkg": f"Architecture: {NATIVE}",
    "zz": "Architecture: all",
}
ZEROS = bytes(500)
INDEX = "mirror_debian_dists_trixie_main_binary-armhf_Packages"
EMPTY = "mirror_debian_dists_trixie_contrib_binary-armhf_Packages"
RELEASE = "mirror_debian_dists_trixie_InRelease"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs packages for root only; CI runs as root")


def dpkg(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dpkg on this root folder."""
    command = ["dpkg", f"--root={root}", "--force-script-chrootless", "--log=/dev/null", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def look(root: Path) -> tuple[list[str], Files, list[str]]:
    """Return what must be repaired, the files to write and to delete, and what must be reinstalled."""
    database = Database(root)
    packages = packages_in(database.dpkg)
    return list(faults(database, packages)), plan(database, packages), to_reinstall(packages, database.file_lists())


def repair(root: Path, pristine: Path) -> list[str]:
    """Repair the root folder, and reinstall packages where needed. Return the names of these."""
    repair_dpkg.apply(look(root)[1], Database(root))
    _, _, reinstall = look(root)
    for name in reinstall:
        done = dpkg(root, "--install", f"{pristine}/{name.partition(':')[0]}.deb")
        assert done.returncode == 0, done.stderr
    assert dpkg(root, "--configure", "--pending").returncode == 0
    assert look(root)[0] == []
    return reinstall


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages' archives, and a root folder in which dpkg has installed them one by one."""
    folder = tmp_path_factory.mktemp("dpkg")
    root = folder / "root"
    for name in ("lib/dpkg/info", "lib/dpkg/updates", "lib/dpkg/triggers", "lib/apt/lists", "cache/apt/archives"):
        (root / "var" / name).mkdir(parents=True)
    for name in ("var/backups", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    for name, fields in PACKAGES.items():
        tree = folder / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / f"usr/share/{name}").mkdir(parents=True)
        (tree / f"usr/share/{name}/data").write_text(name, encoding="utf-8")
        control = f"Package: {name}\nVersion: 1.0\n{fields}\nMaintainer: Zoë <z@example.org>\nDescription: a test\n"
        (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
        subprocess.run(["dpkg-deb", "--build", tree, folder / f"{name}.deb"], check=True, stdout=subprocess.DEVNULL)
        assert dpkg(root, "--install", f"{folder}/{name}.deb").returncode == 0
    shutil.copy(root / "var/lib/dpkg/status", root / "var/backups/dpkg.status.0")
    (root / "var/lib/apt/extended_states").write_text("Package: aa\nArchitecture: all\nAuto-Installed: 1\n\n")
    shutil.copy(root / "var/lib/apt/extended_states", root / "var/backups/apt.extended_states.0")
    for name in ("diversions", "statoverride"):
        (root / f"var/lib/dpkg/{name}").write_bytes(b"")
    index = b"Package: ee\n\n"
    (root / "var/lib/apt/lists" / INDEX).write_bytes(index)
    (root / "var/lib/apt/lists" / EMPTY).write_bytes(b"")
    (root / "var/lib/apt/lists" / RELEASE).write_text(
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index):8} main/binary-armhf/Packages\n"
        f" {'0' * 64}        0 contrib/binary-armhf/Packages\n-----END PGP SIGNATURE-----\n",
        encoding="ascii",
    )
    assert look(root)[0] == []
    return folder


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the root folder, to be damaged."""
    shutil.copytree(pristine / "root", tmp_path / "root", symlinks=True)
    return tmp_path / "root"


# By description: a file in /var, what it is overwritten with, and the packages that must then be reinstalled.
DAMAGE: dict[str, tuple[str, bytes, list[str]]] = {
    "list empty": (f"lib/dpkg/info/bb:{NATIVE}.list", b"", [f"bb:{NATIVE}"]),
    "list cut": ("lib/dpkg/info/zz.list", b"/.\n/us", ["zz"]),
    "update zeros": ("lib/dpkg/updates/0000", ZEROS, []),
    "diversions cut": ("lib/dpkg/diversions", b"/one\n/one.x\nz", []),
    "extended_states zeros": ("lib/apt/extended_states", ZEROS, []),
    "archive half fetched, which apt uses if its size is right": ("cache/apt/archives/ee_1.0_all.deb", b"", []),
    "apt's list of the right size": (f"lib/apt/lists/{INDEX}", bytes(13), []),
    "release cut": (f"lib/apt/lists/{RELEASE}", b"-----END PGP SIG", []),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_repaired(root: Path, pristine: Path, what: str) -> None:
    before = packages_in(root / "var/lib/dpkg")
    name, content, reinstall = DAMAGE[what]
    (root / "var" / name).write_bytes(content)
    assert look(root)[0]
    assert repair(root, pristine) == reinstall
    assert packages_in(root / "var/lib/dpkg") == before
    assert (root / "var/lib/apt/extended_states").read_bytes().endswith(b"Auto-Installed: 1\n\n")
    lists = root / "var/lib/apt/lists"
    must_be_fetched = what.startswith(("apt", "release"))
    assert (list(lists.iterdir()) == []) == must_be_fetched
    assert (lists.stat().st_mtime == 0) == must_be_fetched  # as old lists are


@settings(max_examples=20)
@given(size=st.integers(0, 350), zeros=st.booleans())
def test_status_that_was_cut_off_anywhere_comes_back(pristine: Path, size: int, zeros: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "root")
        shutil.copytree(pristine / "root", root, symlinks=True)
        status = root / "var/lib/dpkg/status"
        before, length = packages_in(status.parent), status.stat().st_size
        os.truncate(status, size)
        os.truncate(status, length if zeros else size)
        assert repair(root, pristine) == ["zz"]  # dpkg's own copy is from before it was installed
        assert packages_in(status.parent) == before


def test_packages_that_dpkg_forgot_come_back_from_the_daily_copy(root: Path, pristine: Path) -> None:
    """To dpkg, an empty status means that no packages are installed, and it overwrites its own copy with that."""
    backup = root / "var/backups/dpkg.status.0"
    backup.with_suffix(".1.gz").write_bytes(gzip.compress(backup.read_bytes()))
    backup.write_bytes(ZEROS)
    (root / "var/lib/dpkg/status").write_bytes(b"")
    assert dpkg(root, "--install", f"{pristine}/zz.deb").returncode == 0
    assert look(root)[0] == ["dpkg's database is damaged"]
    assert repair(root, pristine) == []
    assert {package.name for package in packages_in(root / "var/lib/dpkg")} == set(PACKAGES)


def test_a_damaged_database_without_any_copy_is_reported_as_lost(root: Path) -> None:
    for name in ("lib/dpkg/status", "lib/dpkg/status-old", "backups/dpkg.status.0"):
        (root / "var" / name).write_bytes(ZEROS)
    with pytest.raises(LostError, match="lost"):
        look(root)


def test_half_installed_packages_are_reinstalled_and_others_left_alone(root: Path) -> None:
    assert dpkg(root, "--remove", "zz").returncode == 0
    assert look(root) == ([], {}, [])
    path = root / "var/lib/dpkg/status"
    whole = path.read_text(encoding="utf-8")
    for state, reinstall in {
        "hold reinstreq installed": ["aa"],
        "deinstall ok half-installed": ["aa-"],
        "deinstall reinstreq half-installed": ["aa"],
        "install ok half-configured": [],
        "install ok triggers-awaited\nTriggers-Awaited: zz": [],
    }.items():
        path.write_text(re.sub("Status: .*", f"Status: {state}", whole, count=1), encoding="utf-8")
        [_], files, names = look(root)
        assert (files, names) == ({}, reinstall), state
