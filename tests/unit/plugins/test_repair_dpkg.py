"""repair_dpkg repairs damage that stops dpkg or apt, here with the real dpkg in a temporary root folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils.dpkg_database import Database, look
from ansible_collections.mynn.pi.plugins.modules import repair_dpkg

NATIVE = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
# By name, further lines of the control file. One of the packages may be installed for several architectures.
PACKAGES = {
    "aa": "Architecture: all",
    "bb": f"Architecture: {NATIVE}\nMulti-Arch: same",
    "cc": "Architecture: all",
    "dd": "Architecture: all",
}
ZEROS = bytes(500)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dpkg installs packages for root only; CI runs as root")


def dpkg(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dpkg on this root folder."""
    command = ["dpkg", f"--root={root}", "--force-script-chrootless", "--log=/dev/null", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def installed(root: Path) -> dict[str, str]:
    """Return version and status of each package, as dpkg reports them; it must find no fault."""
    shown = dpkg(root, "--audit")
    assert (shown.returncode, shown.stdout) == (0, "")
    query = [
        "dpkg-query",
        f"--admindir={root}/var/lib/dpkg",
        "--show",
        "--showformat=${Package} ${Version} ${Status}\n",
    ]
    output = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in output.splitlines()}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four packages' archives, and a root folder in which dpkg has installed them one by one."""
    folder = tmp_path_factory.mktemp("dpkg")
    root = folder / "root"
    for name in ("dpkg/info", "dpkg/updates", "dpkg/triggers", "apt/lists"):
        (root / "var/lib" / name).mkdir(parents=True)
    for name in ("var/cache/apt/archives", "var/backups", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    for name, fields in PACKAGES.items():
        tree = folder / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / f"usr/share/{name}").mkdir(parents=True)
        (tree / f"usr/share/{name}/data").write_text(name, encoding="utf-8")
        control = f"Package: {name}\nVersion: 1.0\n{fields}\nMaintainer: Zoë <z@example.org>\nDescription: a test\n"
        (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
        if name == "cc":
            (tree / "DEBIAN/triggers").write_text("interest-noawait /usr/share/dd\ninterest named\n", encoding="utf-8")
            (tree / "DEBIAN/postinst").write_text("#!/bin/sh\n", encoding="utf-8")
            (tree / "DEBIAN/postinst").chmod(0o755)
        if name == "dd":
            (tree / "DEBIAN/postrm").write_text("#!/bin/sh\n", encoding="utf-8")
            (tree / "DEBIAN/postrm").chmod(0o755)
        subprocess.run(["dpkg-deb", "--build", tree, folder / f"{name}.deb"], check=True, stdout=subprocess.DEVNULL)
        assert dpkg(root, "--install", f"{folder}/{name}.deb").returncode == 0
    admin = f"--admindir={root}/var/lib/dpkg"
    for place in ("one", "two"):  # the -old file has only the first of them
        subprocess.run(
            ["dpkg-divert", admin, "--no-rename", "--divert", f"/{place}.x", "--add", f"/{place}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        subprocess.run(["dpkg-statoverride", admin, "--add", "root", "root", "0755", f"/{place}"], check=True)
    (root / "var/lib/dpkg/arch").write_text(f"{NATIVE}\nriscv64\n", encoding="ascii")
    return folder


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the root folder, to be damaged."""
    shutil.copytree(pristine / "root", tmp_path / "root", symlinks=True)
    return tmp_path / "root"


def contents(root: Path) -> dict[str, bytes]:
    """Return the contents of all files of dpkg and apt."""
    return {str(path): path.read_bytes() for path in sorted(root.glob("var/**/*")) if path.is_file()}


def repair(root: Path, pristine: Path) -> list[str]:
    """Repair the root folder and reinstall packages where needed. Return the names of these."""
    database = Database(root)
    todo = repair_dpkg.plan(database)
    repair_dpkg.apply(todo, database)
    for name in todo.reinstall:
        done = dpkg(root, "--install", f"{pristine}/{name.partition(':')[0]}.deb")
        assert done.returncode == 0, done.stderr
    assert dpkg(root, "--configure", "--pending").returncode == 0
    assert look(database)[1] == []
    names: list[str] = todo.reinstall
    return names


def test_a_removed_package_that_left_a_script_is_not_damaged(root: Path) -> None:
    assert dpkg(root, "--remove", "dd").returncode == 0
    assert (root / "var/lib/dpkg/info/dd.list").read_bytes() == b""
    database = Database(root)
    assert look(database)[1] == []
    assert repair_dpkg.plan(database).changes == []


def write(name: str, data: bytes) -> Callable[[Path], object]:
    """Return a function that overwrites a file in a folder."""
    return lambda folder: (folder / name).write_bytes(data)


def cut(name: str, size: int) -> Callable[[Path], None]:
    """Return a function that cuts a file to this size or, if it is negative, by this many bytes."""
    return lambda folder: os.truncate(folder / name, size if size >= 0 else (folder / name).stat().st_size + size)


def delete(name: str) -> Callable[[Path], None]:
    """Return a function that deletes a file."""
    return lambda folder: (folder / name).unlink()


def splice(folder: Path) -> None:
    """Damage `status`: put part of another file into the middle of it."""
    text = (folder / "status").read_text(encoding="utf-8")
    (folder / "status").write_text(text.replace("Package: bb\n", "PATH=/usr/bin\nexport PATH\n"), encoding="utf-8")


# By description, what does the damage, and the packages that must then be reinstalled.
DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "status missing": (delete("status"), ["dd"]),
    "status empty": (write("status", b""), ["dd"]),
    "status cut in a field": (cut("status", -5), ["dd"]),
    "status cut after a line": (cut("status", -1), ["dd"]),
    "status cut early": (cut("status", 60), ["dd"]),
    "status zeros": (write("status", ZEROS), ["dd"]),
    "status spliced": (splice, []),
    "list missing": (delete("info/aa.list"), ["aa"]),
    "list empty": (write(f"info/bb:{NATIVE}.list", b""), [f"bb:{NATIVE}"]),
    "list cut": (cut("info/cc.list", -3), ["cc"]),
    "list zeros": (write("info/cc.list", ZEROS), ["cc"]),
    "list with an empty line": (write("info/aa.list", b"/.\n\n/usr\n"), ["aa"]),
    "update zeros": (write("updates/0000", ZEROS), []),
    "update cut": (write("updates/0001", b"Package: aa\nStat"), []),
    "format empty": (write("info/format", b""), []),
    "arch zeros": (write("arch", ZEROS), []),
    "diversions cut": (cut("diversions", -3), []),
    "statoverride zeros": (write("statoverride", ZEROS), []),
    "triggers zeros": (write("triggers/File", ZEROS), []),
    "named trigger zeros": (write("triggers/named", ZEROS), []),
    "unincorporated triggers cut": (write("triggers/Unincorp", b"/usr/share/dd d"), []),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_repaired(root: Path, pristine: Path, what: str) -> None:
    before = installed(root)
    damage, expected = DAMAGE[what]
    damage(root / "var/lib/dpkg")
    assert look(Database(root))[1] or what == "list with an empty line"
    assert repair(root, pristine) == expected
    assert installed(root) == before
    assert before.keys() == PACKAGES.keys()


# dpkg accepts three of them: two look like an empty database (see the next test), and one lacks only a blank line.
@pytest.mark.parametrize("what", sorted(DAMAGE.keys() - {"status missing", "status empty", "status cut after a line"}))
def test_dpkg_does_not_repair_the_damage_by_itself(root: Path, pristine: Path, what: str) -> None:
    """It stops, or leaves a package that must be reinstalled."""
    DAMAGE[what][0](root / "var/lib/dpkg")
    done = dpkg(root, "--install", f"{pristine}/dd.deb")
    assert done.returncode or look(Database(root))[1]


def test_packages_that_dpkg_forgot_come_back_from_the_daily_copy(root: Path, pristine: Path) -> None:
    """To dpkg, an empty status means that no packages are installed, and it overwrites its own copy with that."""
    (root / "var/backups/dpkg.status.0").write_bytes(ZEROS)
    whole = (root / "var/lib/dpkg/status").read_bytes()
    (root / "var/backups/dpkg.status.1.gz").write_bytes(gzip.compress(whole))
    (root / "var/lib/dpkg/status").write_bytes(b"")
    assert dpkg(root, "--install", f"{pristine}/dd.deb").returncode == 0
    assert installed(root).keys() == {"dd"}
    assert repair(root, pristine) == []
    assert installed(root).keys() == PACKAGES.keys()


def test_a_damaged_database_without_any_copy_is_reported_as_lost(root: Path) -> None:
    for name in ("status", "status-old"):
        (root / "var/lib/dpkg" / name).write_bytes(ZEROS)
    with pytest.raises(repair_dpkg.LostError, match="lost"):
        repair_dpkg.plan(Database(root))


def test_a_package_newer_than_the_copy_is_reinstalled(root: Path, pristine: Path) -> None:
    """Its new version is unpacked, but the copy of `status` describes the old one."""
    (root / "var/lib/dpkg/status").write_bytes(b"")
    os.utime(root / "var/lib/dpkg/info/aa.list")
    database = Database(root)
    repair_dpkg.apply(repair_dpkg.plan(database), database)
    assert "aa must be reinstalled" in look(database)[1]  # the database says so, even if the power is cut again now
    assert repair(root, pristine) == ["aa", "dd"]


@pytest.mark.parametrize(
    ("status", "reinstall"),
    [
        ("install reinstreq half-installed", ["aa"]),
        ("install ok half-installed", ["aa"]),
        ("hold reinstreq installed", ["aa"]),
        ("install reinstreq unpacked", ["aa"]),
        ("deinstall ok half-installed", ["aa-"]),
        ("deinstall reinstreq half-installed", ["aa"]),
        ("install ok unpacked", []),
        ("install ok half-configured", []),
        ("install ok triggers-pending\nTriggers-Pending: named", []),
        ("install ok triggers-awaited\nTriggers-Awaited: cc", []),
    ],
)
def test_half_installed_packages_are_reinstalled(root: Path, status: str, reinstall: list[str]) -> None:
    path = root / "var/lib/dpkg/status"
    path.write_text(re.sub("Status: .*", f"Status: {status}", path.read_text("utf-8"), count=1), encoding="utf-8")
    assert dpkg(root, "--audit").stdout
    assert len(look(Database(root))[1]) == 1
    todo = repair_dpkg.plan(Database(root))
    assert (todo.reinstall, todo.fetch_lists, todo.files) == (reinstall, bool(reinstall), {})


def test_an_undamaged_database_is_left_alone(root: Path) -> None:
    database = Database(root)
    assert look(database)[1] == []
    todo = repair_dpkg.plan(database)
    assert (todo.files, todo.changes, todo.reinstall, todo.fetch_lists) == ({}, [], [], False)


def test_a_plan_changes_nothing(root: Path) -> None:
    """In check mode, a plan is all that is made."""
    for what in ("status cut early", "list zeros", "update cut", "diversions cut", "triggers zeros"):
        DAMAGE[what][0](root / "var/lib/dpkg")
    before = contents(root)
    assert len(repair_dpkg.plan(Database(root)).changes) >= 5
    assert contents(root) == before


def test_diversions_and_overrides_are_restored_from_their_copies(root: Path, pristine: Path) -> None:
    for name in ("diversions", "statoverride"):
        (root / "var/lib/dpkg" / name).write_bytes(ZEROS)
    repair(root, pristine)
    for name in ("diversions", "statoverride"):
        folder = root / "var/lib/dpkg"
        assert (folder / name).read_bytes() == (folder / f"{name}-old").read_bytes() != b""


def test_triggers_are_restored_from_the_packages(root: Path, pristine: Path) -> None:
    folder = root / "var/lib/dpkg/triggers"
    before = {name: (folder / name).read_bytes() for name in ("File", "named")}
    assert all(before.values())
    (folder / "File").write_bytes(ZEROS)
    (folder / "named").write_bytes(ZEROS)
    repair(root, pristine)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_architectures_are_restored_from_the_installed_packages(root: Path, pristine: Path) -> None:
    status = root / "var/lib/dpkg/status"
    status.write_text(status.read_text("utf-8").replace(f"Architecture: {NATIVE}", "Architecture: armhf"), "utf-8")
    (root / f"var/lib/dpkg/info/bb:{NATIVE}.list").rename(root / "var/lib/dpkg/info/bb:armhf.list")
    (root / "var/lib/dpkg/arch").write_bytes(ZEROS)
    repair(root, pristine)
    assert (root / "var/lib/dpkg/arch").read_text("ascii").split() == [NATIVE, "armhf"]


INDEX = "mirror_debian_dists_trixie_main_binary-armhf_Packages"
RELEASE = "mirror_debian_dists_trixie_InRelease"


@pytest.fixture
def lists(root: Path) -> Path:
    """The folder of apt's lists, with an index and the release file that has its size and checksum."""
    folder = root / "var/lib/apt/lists"
    archive = b"an archive of ours"
    index = f"Package: ee\nVersion: 1:2.0\nSHA256: {hashlib.sha256(archive).hexdigest()}\n\n".encode()
    (folder / INDEX).write_bytes(index)
    release = f"""\
        -----BEGIN PGP SIGNED MESSAGE-----

        SHA256:
         {hashlib.sha256(index).hexdigest()} {len(index):8} main/binary-armhf/Packages
         {"0" * 64} {17:8} main/binary-armhf/Packages.xz
        -----END PGP SIGNATURE-----
        """
    (folder / RELEASE).write_text(textwrap.dedent(release), encoding="ascii")
    (root / "var/cache/apt/archives/ee_1%3a2.0_armhf.deb").write_bytes(archive)
    return folder


@pytest.mark.parametrize(
    ("name", "damage"),
    [(INDEX, cut(INDEX, 30)), (INDEX, write(INDEX, b"")), (RELEASE, cut(RELEASE, 50)), (RELEASE, write(RELEASE, b""))],
)
def test_damaged_lists_are_deleted(lists: Path, root: Path, name: str, damage: Callable[[Path], object]) -> None:
    database = Database(root)
    assert look(database)[1] == []
    damage(lists)
    assert look(database)[1] == [f"apt's list {name} is damaged"]
    todo = repair_dpkg.plan(database)
    assert todo.fetch_lists
    repair_dpkg.apply(todo, database)
    assert not (lists / name).exists()
    assert lists.stat().st_mtime == 0  # so that the lists count as old and are fetched
    assert look(database)[1] == []


def test_a_list_of_zeros_counts_as_damaged(lists: Path, root: Path) -> None:
    size = (lists / INDEX).stat().st_size
    (lists / INDEX).write_bytes(bytes(size))
    assert look(Database(root))[1] == [f"apt's list {INDEX} is damaged"]


@pytest.mark.usefixtures("lists")
def test_archives_that_match_no_list_are_deleted(root: Path) -> None:
    """If its size were right, apt would use a damaged one."""
    archives = root / "var/cache/apt/archives"
    good, bad = archives / "ee_1%3a2.0_armhf.deb", archives / "ff_1.0_all.deb"
    bad.write_bytes(bytes(good.stat().st_size))
    (archives / "aa_1.0_all.deb").write_bytes(b"installed already")
    database = Database(root)
    repair_dpkg.apply(repair_dpkg.plan(database), database)
    assert list(archives.iterdir()) == [good]


def test_apts_extended_states_are_restored_from_their_copy(root: Path) -> None:
    marks, copy = root / "var/lib/apt/extended_states", root / "var/backups/apt.extended_states.0"
    marks.write_bytes(ZEROS)
    copy.write_text("Package: aa\nArchitecture: all\nAuto-Installed: 1\n\n", encoding="ascii")
    database = Database(root)
    assert look(database)[1] == ["apt's extended_states is damaged"]
    repair_dpkg.apply(repair_dpkg.plan(database), database)
    assert marks.read_bytes() == copy.read_bytes()
