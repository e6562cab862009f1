"""`make cards`: an image or a card for each Pi, from a small image with a card's real layout.

Cards are loop devices; a program in place of lsblk says that they are cards in a reader, and when they are put in.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.module_utils.preseed import NAME, Preseed
from mynn_control import cards
from mynn_control.card_disks import disks
from mynn_control.card_image import CardError, newest_image
from mynn_control.cards import files_of, with_key
from mynn_control.image_release import pack
from tests.support.image import Image
from tests.support.programs import ROOT
from tests.unit.image.test_enterprise import Authority

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
CARDS = [sys.executable, "-m", "mynn_control.cards"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICtg8TFATI7pOSSUNkxV9rVHo5+/hRTpd1Z12tmU8XpW teacher@laptop"
MIB = 1 << 20
# What the Wi-Fi of the tests makes of "password" (the vector of IEEE 802.11i, annex H.4).
IEEE = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
WIFI = {"country": "GB", "networks": [{"ssid": "IEEE", "password": "password"}]}
# Hands the job over in place of Ansible and the playbook, which take some seconds.
HAND_OVER = "import json, shutil, sys; shutil.copy(sys.argv[1], json.loads(sys.argv[3])['__cards_answer'])"
SECONDS = 300
BOARDS: dict[str, str] = yaml.safe_load((ROOT / "playbooks/group_vars/all/boards.yml").read_text("utf-8"))["boards"]


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """An image as `make image` leaves it, packed and with its .bmap; the unpacked one is beside it."""
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="cards-", dir=ROOT / "build"))  # a tmpfs may have no holes
    contents = {
        "etc/fstab": b"PARTUUID=6d796e6e-02 / ext4 noatime 0 1\n",
        "boot/firmware/config.txt": b"gpu_mem=16\n",
        f"boot/firmware/{NAME}": b"# nothing is set\r\n",
        "srv/noise": os.urandom(2 * MIB),
        "srv/zeros": bytes(MIB),
    }
    for name, content in contents.items():
        (folder / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "root" / name).write_bytes(content)
    unpacked = folder / "small.img"
    program = str(ROOT / "roles/image/files/disk")
    disk: list[str | Path] = [program, folder / "root", unpacked, "1700000000", "12", "160"]
    subprocess.run(disk, check=True)
    subprocess.run(["bmaptool", "-q", "create", unpacked, "-o", folder / "small.img.bmap"], check=True)
    yield pack(unpacked)
    shutil.rmtree(folder)


class School:
    """A teacher's computer: an inventory, settings, and what `make cards` leaves."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self.image = image
        self.cards = image.parent / f"of-{folder.name}"  # not on a tmpfs
        self.programs: list[pexpect.spawn] = []
        self.environment = os.environ | {"HOME": str(folder), "COLUMNS": "999"}
        (folder / "bin").mkdir()
        (folder / ".ssh").mkdir()
        (folder / ".ssh/id_ed25519.pub").write_text(KEY + "\n")
        self.environment["PATH"] = f"{folder}/bin:{ANSIBLE.parent}:{os.environ['PATH']}:/usr/sbin"

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def instead_of(self, program: str, script: str) -> None:
        """Put a shell script in a program's place; $REAL is the program."""
        real = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        self.write(f"bin/{program}", f"#!/bin/sh\nREAL={real}\n{script}\n").chmod(0o755)

    def job(self, count: int = 3, wifi: dict[str, Any] | None = None, **more: Any) -> list[str]:
        """Return a command that hands over a job as the playbook does, for so many Pis."""
        job = {"image": str(self.image), "folder": str(self.cards), "files": False, "largest_gb": 1}
        job |= {"certificates": str(self.folder / "certificates"), "again": False, "boards": BOARDS}
        job |= {"pis": [entry(f"pi{number:02}", wifi) for number in range(1, count + 1)]} | more
        return [sys.executable, "-c", HAND_OVER, str(self.write("job.json", json.dumps(job)))]

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*CARDS, *command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout[-5000:], done.stderr[-3000:])
        return done

    def terminal(self, command: Sequence[str]) -> pexpect.spawn:
        """Run it at a terminal."""
        program = pexpect.spawn(
            CARDS[0],
            [*CARDS[1:], *command],
            cwd=ROOT,
            env=self.environment,
            encoding="utf-8",
            timeout=SECONDS,
            # Whoever runs the tests in the background has a shell that ignores Ctrl-C.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        program.logfile_read = sys.stdout
        self.programs.append(program)
        return program

    def left(self) -> set[str]:
        return {path.name for path in self.cards.iterdir()}


def entry(name: str, wifi: dict[str, Any] | None = None, board: str = "", **settings: Any) -> dict[str, Any]:
    """Return a Pi of a job."""
    wlan = wifi or {"country": "", "networks": []}
    tables: dict[str, Any] = {
        "system": {"hostname": name},
        "locale": {"timezone": "Europe/London"},
        "user": {"password": ""},
        "ssh": {"authorized_keys": [KEY]},
        "wlan": {"country": wlan["country"]},
        "mynn": {"password": f"secret-of-{name}", "wlan": wlan["networks"]} | settings,
    }
    return {"name": f"{name}.local", "board": board, "settings": tables}


@pytest.fixture
def school(tmp_path: Path, image: Path) -> Iterator[School]:
    school = School(tmp_path, image)
    yield school
    shutil.rmtree(school.cards, ignore_errors=True)


def settings_of(disk: Path) -> dict[str, Any]:
    """Return the settings on an image's or a card's boot partition, as the Pi reads them."""
    found = Preseed(Image(disk).boot_read(NAME), Path("/nowhere"))
    assert found.mistakes + found.notes == []
    return found.settings


IEEE_ONLY = f"\ncountry=GB\nnetwork={{\n\tssid={b'IEEE'.hex()}\n\tpsk={IEEE}\n}}\n"


# ---------------------------------------------------------------------------------------------------------------------
# Image files


@pytest.mark.slow
def test_three_pis_from_the_inventory_to_images(school: School, image: Path, tmp_path: Path) -> None:
    """With settings, playbook and labels. No secret is said or shown."""
    school.write("inventory.ini", "[pis]\npi[01:02].local\npi03 ansible_host=192.168.1.52 board=4\n")
    school.write("group_vars/pis.yml", yaml.safe_dump({"cards_wifi": WIFI, "cards_account_password": "teachers only"}))
    for program in ("bmaptool", "cp", "mcopy"):
        school.instead_of(program, f'echo "{program} $*" >>"{tmp_path}/commands"; exec $REAL "$@"')
    more = {"cards_files": True, "cards_timezone": "Europe/London", "cards_image": str(image)}
    more |= {"cards_folder": str(school.cards), "jupyter_passwords": f"{tmp_path}/passwords"}
    more |= {"labels_folder": f"{tmp_path}/labels"}
    command = [ANSIBLE, "-i", tmp_path / "inventory.ini", "playbooks/cards.yml", "-e", json.dumps(more)]
    done = school.run([*map(str, command)])
    assert done.returncode == 0

    passwords = {path.name: path.read_text().strip() for path in (tmp_path / "passwords").iterdir()}
    assert set(passwords) == {"pi01.local", "pi02.local", "pi03"}
    for name, password in passwords.items():
        host = name.removesuffix(".local")
        made = school.cards / f"{host}.img"
        written = settings_of(made)
        assert written.pop("wifi").endswith(IEEE_ONLY)
        common = {"timezone": "Europe/London", "account_password": "teachers only", "ssh_keys": [KEY]}
        assert written == common | {"hostname": host, "password": password}
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        subprocess.run(["bmaptool", "-q", "copy", "--bmap", f"{made}.bmap", made, "/dev/null"], check=True)
        content = made.read_bytes()  # no other Pi's password is left on it
        assert [other for other in passwords.values() if other.encode() in content] == [password]
    assert stat.S_IMODE(school.cards.stat().st_mode) == 0o700
    assert school.left() == {"done.txt", *(f"pi0{n}.img{end}" for n in (1, 2, 3) for end in ("", ".bmap"))}
    assert "Pi 4" in (tmp_path / "labels/labels-A4.html").read_text()

    said = done.stdout + done.stderr + (tmp_path / "commands").read_text()
    for secret in (*passwords.values(), IEEE, "teachers only", "'password'", '"password"'):
        assert secret not in said
    assert "Wi-Fi:        IEEE" in done.stdout
    assert "SSH keys:     teacher@laptop" in done.stdout


def test_a_damaged_image_is_refused(school: School, image: Path) -> None:
    school.image = school.folder / "small.img.xz"
    school.image.write_bytes(image.read_bytes())
    bmap = image.with_suffix(".bmap").read_text()
    school.write("small.img.bmap", re.sub('(chksum=")[0-9a-f]{8}', r"\g<1>01234567", bmap, count=1))
    done = school.run(school.job(files=True))
    assert done.returncode == 1
    assert f"{school.image} is damaged: " in done.stderr and "checksum mismatch" in done.stderr
    assert school.left() == set()


def test_wrong_settings_are_named_before_anything_is_written(school: School) -> None:
    short = {"country": "UK", "networks": [{"ssid": "School", "password": "short", "passwort": "long enough"}]}
    pis = [entry("pi_01"), entry("pi02", short), entry("pi03", short), entry("pi03")]
    pis += [entry("pi05", password=12345678), {**entry("", None), "name": "10.0.0.7"}, entry("pi06", board="5")]
    done = school.run(school.job(files=True, pis=pis, image="/nowhere/mynn-pi-zero-*.img.xz"))
    assert done.returncode == 1
    for sentence in (
        "pi_01.local: [system] hostname: a name has at most 63 letters",
        "pi02.local, pi03.local: [[mynn.wlan]] 1 password: a Wi-Fi password has 8 to 63 characters.",
        "pi02.local, pi03.local: [[mynn.wlan]] 1 passwort: this Pi does not have such a setting.",
        "pi03.local: pi03.local would be called pi03, too: give each Pi a name of its own.",
        "pi05.local: [mynn] password: this is a text. Write it between quotation marks",
        "10.0.0.7: an address is no name for a Pi.",
        "pi06.local: /nowhere/mynn-pi-zero-*.img.xz is no image for a Pi 5: run `make image BOARD=5`",
    ):
        assert sentence in done.stderr
    assert not school.cards.exists()


def test_certificates_are_copied_beside_the_settings(school: School, tmp_path: Path) -> None:
    network = {"ssid": "School", "method": "peap", "identity": "pi@school.example", "password": "its own"}
    network |= {"ca_certificate": "ca.pem", "domain": "radius.school.example"}
    wifi = {"country": "GB", "networks": [network]}
    job = school.job(1, wifi, files=True)
    done = school.run(job)
    assert (done.returncode, "ca.pem is missing. It belongs beside" in done.stderr) == (1, True)
    authority = Authority(tmp_path, "certificates")
    (school.cards / ".parts").mkdir(parents=True)
    (school.cards / ".parts/own.img").write_text("half, with a password")  # of a killed run
    assert school.run(job).returncode == 0
    made = Image(school.cards / "pi01.img")
    assert made.boot_read("ca.pem") == authority.pem.read_bytes()
    assert "ca.key" not in made.boot_names()
    # Another certificate makes another card.
    authority.pem.write_text(f"of the school\n{authority.pem.read_text()}")
    assert "Done already" not in school.run(job).stdout
    assert "All are done. To write one again" in school.run(job).stdout
    assert "pi01 is done (1 of 1)" in school.run(school.job(1, wifi, files=True, again=True)).stdout
    assert school.left() == {"done.txt", "pi01.img", "pi01.img.bmap"}


def test_an_empty_inventory_is_named(school: School) -> None:
    done = school.run([sys.executable, "-c", ""])
    assert done.returncode == 1
    assert "there is no Pi below [pis] in the inventory" in done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# Pis of several kinds


ZERO, THREE = "mynn-pi-zero-5.img.xz", "mynn-pi-3-zero2w-4-0.1.img.xz"  # the former is version 5


def test_the_image_is_the_newest_for_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate((THREE, "mynn-pi-3-zero2w-4-0.0.img.xz", ZERO)):
        Path(name).touch()
        os.utime(name, (number, number))
    assert newest_image("*.img.xz", "4", BOARDS) == Path("mynn-pi-3-zero2w-4-0.0.img.xz")
    for pattern, board, sentence in (
        ("*.img.xz", "5", "no image for a Pi 5: run `make image BOARD=5`"),
        ("*.img.xz", "", f"{ZERO}). Name the kind in the inventory"),
        (ZERO, "4", f"{ZERO} is no image for a Pi 4"),
        ("x", "", "x is no image: run `make image`, or name one"),
    ):
        with pytest.raises(CardError, match=re.escape(sentence)):
            newest_image(pattern, board, BOARDS)
    Path("school.img.xz").touch()  # for any Pi
    assert newest_image("*.img.xz", "5", BOARDS) == Path("school.img.xz")


# ---------------------------------------------------------------------------------------------------------------------
# Settings


def test_wifi_passwords_become_keys_and_other_settings_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "ask_password", {"IEEE": "password"}.__getitem__)
    known = {"ssid": "IEEE", "password": IEEE}
    assert with_key({"ssid": "IEEE", "password": "password", "hidden": True}) == known | {"hidden": True}
    assert with_key({"ssid": "IEEE"}) == with_key(known) == known
    staff = {"ssid": "staff", "password": "password", "identity": "teacher"}
    for odd in ({"ssid": "open", "password": ""}, staff, "School", {"ssid": 7}):
        assert with_key(odd) == odd


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8, max_size=64))
def test_what_is_written_is_read_as_it_was_meant(odd: str) -> None:
    tables = entry("pi01", password=odd)["settings"] | {"ssh": {}}  # (ssh-keygen would start for each key)
    files, mistakes = files_of("pi01.local", tables, Path("/nowhere"))
    assert mistakes == []
    assert Preseed(files[NAME], Path("/nowhere")).settings["password"] == odd


def test_a_wifi_password_is_asked_for_once_and_typed_twice(school: School) -> None:
    wifi = {"country": "GB", "networks": [{"ssid": "IEEE"}]}
    program = school.terminal(school.job(files=True, wifi=wifi))
    for asked in ("(not shown): ", "The same again: "):
        program.expect_exact(asked)
        program.sendline("password")
    program.expect_exact("All are done.")
    program.expect(pexpect.EOF)
    for number in (1, 2, 3):
        assert settings_of(school.cards / f"pi0{number}.img")["wifi"].endswith(IEEE_ONLY)


def test_without_a_terminal_nothing_is_asked(school: School) -> None:
    done = school.run(school.job(wifi={"country": "GB", "networks": [{"ssid": "IEEE"}]}))
    assert (done.returncode, "the Wi-Fi IEEE has no password" in done.stderr) == (1, True)
    done = school.run(school.job())
    assert (done.returncode, "run this in a terminal" in done.stderr) == (1, True)


# ---------------------------------------------------------------------------------------------------------------------
# Disks


def block(path: str, **more: Any) -> dict[str, Any]:
    """Return lsblk's entry of a card of 32 GB in a USB reader."""
    card = {"path": path, "type": "disk", "size": 32 * 10**9, "ro": False, "rm": True, "tran": "usb"}
    return card | {"vendor": "Generic ", "model": "SD/MMC", "mountpoints": [None]} | more


def part(path: str, *mounts: str | None, **more: Any) -> dict[str, Any]:
    return block(path, type="part", mountpoints=list(mounts), **more)


# What lsblk says of a disk, and why it is refused; nothing if it is a card.
DISKS: list[tuple[dict[str, Any], str]] = [
    (block("/dev/sdb"), ""),
    (block("/dev/mmcblk0", rm=False, tran="mmc"), ""),  # a laptop's slot
    (block("/dev/sdb", children=[part("/dev/sdb1", "/run/media/eve/x"), part("/dev/sdb2")]), ""),
    (block("/dev/mmcblk0", tran="mmc", children=[part("/dev/mmcblk0p2", "/")]), "uses it: /"),
    (block("/dev/sdb", children=[part("/dev/sdb1", "[SWAP]")]), "uses it: [SWAP]"),
    (block("/dev/sdb", children=[part("/dev/sdb1", children=[block("/dev/x", type="lvm")])]), "this computer uses it"),
    (block("/dev/nvme0n1", rm=False, tran="nvme"), "hard disk"),
    (block("/dev/sdb", rm=False), "hard disk"),  # at USB
    (block("/dev/sdb", size=10**12), "larger than 130 GB"),
    (block("/dev/sdb", ro=True), "write-protected"),
]


@pytest.mark.parametrize(("said", "problem"), DISKS)
def test_only_a_card_is_taken(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], problem: str) -> None:
    said_by = {"blockdevices": [said, block("/dev/sdc", size=0), block("/dev/sr0", type="rom")]}
    done = subprocess.CompletedProcess([], 0, json.dumps(said_by).encode())
    monkeypatch.setattr("mynn_control.card_disks.subprocess.run", lambda *_, **__: done)
    [found] = disks(130 * 10**9).values()
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)
    assert found.title.startswith("Generic SD/MMC ")
    expected = {child["path"] for child in said.get("children", []) if any(child["mountpoints"])}
    assert set(found.mounted) == expected


# ---------------------------------------------------------------------------------------------------------------------
# Cards


class CardReader:
    """A reader. What is put in are loop devices, and lsblk says that they are cards."""

    def __init__(self, school: School) -> None:
        self.school = school
        self.loops: dict[Path, str] = {}
        self.put_in()
        school.instead_of("lsblk", f'cat "{school.folder}/blocks.json"')

    def blank_card(self, name: str) -> Path:
        """Make a card that is full of old data."""
        path = self.school.image.parent / f"{self.school.folder.name}-{name}"
        path.write_bytes(b"\xa5" * 256 * MIB)
        command = ["losetup", "--find", "--show", str(path)]
        done = subprocess.run(command, env=self.school.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no loop devices here ({done.stderr.strip()}): run pytest as root, with /dev/loop-control")
        self.loops[path] = done.stdout.strip()
        return path

    def put_in(self, *cards: Path, **more: Any) -> None:
        entries = [block(self.loops[card], size=card.stat().st_size, **more) for card in cards]
        new = self.school.write("blocks.new", json.dumps({"blockdevices": entries}))
        new.replace(self.school.folder / "blocks.json")

    def close(self) -> None:
        for program in self.school.programs:
            program.close(force=True)
        for path, loop in self.loops.items():
            subprocess.run(["losetup", "--detach", loop], check=False)
            path.unlink()


@pytest.fixture
def reader(school: School) -> Iterator[CardReader]:
    reader = CardReader(school)
    yield reader
    reader.close()


def press_enter(program: pexpect.spawn, reader: CardReader, host: str, card: Path) -> None:
    program.expect_exact(f"Press Enter to write {host} onto {reader.loops[card]}")
    program.sendline()


def put_in(program: pexpect.spawn, reader: CardReader, host: str, card: Path) -> None:
    """Put a card in once it is asked for, and press Enter."""
    program.expect_exact(f"Put in the card for {host}")
    reader.put_in(card)
    press_enter(program, reader, host, card)


def ends(program: pexpect.spawn, *sentences: str) -> int:
    """Wait for the last sentences and return the exit code."""
    for sentence in (*sentences, pexpect.EOF):
        program.expect_exact(sentence)
    program.close()
    return int(program.exitstatus)


@pytest.mark.slow
def test_cards_one_after_the_other(school: School, reader: CardReader) -> None:
    """A card from before, a hard disk, a card that is left in, and one that is done are not written to."""
    one, two, other, disk = (reader.blank_card(name) for name in ("one", "two", "other", "disk"))
    reader.put_in(other)
    program = school.terminal(school.job(2, wifi=WIFI))
    program.expect_exact("Everything on each card will be erased.")
    program.expect_exact("Put in the card for pi01")
    reader.put_in(other, disk, rm=False)
    program.expect_exact(f"{reader.loops[disk]} (Generic SD/MMC 0 GB) is not used: it is a hard disk")
    reader.put_in(other, one)
    program.expect_exact(f"Press Enter to write pi01 onto {reader.loops[one]}")
    reader.put_in(other)
    program.sendline()
    program.expect_exact("It was taken out.")
    reader.put_in(other, one)
    press_enter(program, reader, "pi01", one)
    program.expect_exact("pi01 is done (1 of 2). Take its card out.")
    program.expect_exact("Put in the card for pi02")
    time.sleep(2)  # it is still in
    reader.put_in(other)
    time.sleep(2)
    reader.put_in(other, one)
    press_enter(program, reader, "pi02", one)
    program.expect_exact("This is pi01's card, which is done. Put in another one.")
    reader.put_in(other, two, disk)
    program.expect_exact("Several cards are new: ")
    reader.put_in(other, two)
    press_enter(program, reader, "pi02", two)
    assert ends(program, "All are done.") == 0
    for number, card in enumerate((one, two), 1):
        written = settings_of(card)
        assert (written["hostname"], written["password"]) == (f"pi0{number}", f"secret-of-pi0{number}")
        assert written["wifi"].endswith(IEEE_ONLY)
        assert_sound(card)
    assert set(other.read_bytes()) == set(disk.read_bytes()) == {0xA5}
    assert school.left() == {"done.txt"}


def assert_sound(card: Path) -> None:
    """Check a card's file systems, and that old data does not shine through."""
    image = Image(card)
    assert image.boot_names() == {"config.txt", NAME}
    assert image.debugfs("cat /srv/zeros") == bytes(MIB)
    assert b"\xa5" * 512 not in image.debugfs("cat <8>")  # the journal
    whole = card.read_bytes()
    for begin, end, check in ((image.boot, image.root, "fsck.vfat -n"), (image.root, None, "e2fsck -f -n")):
        partition = card.with_suffix(".part")
        partition.write_bytes(whole[begin:end])
        done = subprocess.run([*check.split(), partition], capture_output=True, text=True, check=False)
        partition.unlink()
        assert done.returncode == 0, done.stdout


# A script in the place of bmaptool, the card's device being $5.
BMAPTOOL = """
case "$*" in
*$GOOD) flock --nonblock $GOOD true && touch "$HOME/unlocked" ;;
*$BAD) $REAL "$@" || exit; printf x | dd of="$5" bs=1 seek=4194400 conv=notrunc status=none; exit ;;
*$HANGS) dd if="$4" of="$5" bs=1M count=8 conv=notrunc,fsync status=none; exec sleep 600 ;;
esac
exec $REAL "$@"
"""


@pytest.mark.slow
def test_a_bad_card_is_noticed_and_the_next_run_continues_after_ctrl_c(school: School, reader: CardReader) -> None:
    bad, good, half = (reader.blank_card(name) for name in ("bad", "good", "half"))
    loops = f"BAD={reader.loops[bad]} GOOD={reader.loops[good]} HANGS={reader.loops[half]}"
    school.instead_of("bmaptool", f"{loops}\n{BMAPTOOL}")
    program = school.terminal(school.job())
    put_in(program, reader, "pi01", bad)
    program.expect_exact("checksum mismatch")
    program.expect_exact("pi01's card was not written: see what bmaptool says above.")
    put_in(program, reader, "pi01", good)
    program.expect_exact("pi01 is done (1 of 3).")
    assert not (school.folder / "unlocked").exists()  # so no desktop mounted it meanwhile
    put_in(program, reader, "pi02", half)
    program.expect_exact("Writing pi02")
    time.sleep(2)
    program.sendintr()
    assert ends(program, "pi02's card is not finished.", "Stopped. Done: pi01.", "it continues with pi02.") == 130
    for card in (bad, half):
        assert card.read_bytes()[:4096] == bytes(4096)  # no Pi starts with it
    assert school.left() == {"done.txt"}
    reader.put_in()
    (school.folder / "bin/bmaptool").unlink()
    program = school.terminal(school.job())
    program.expect_exact("Done already: 1: pi01")
    put_in(program, reader, "pi02", half)
    program.expect_exact("pi02 is done (1 of 2).")
    program.sendintr()
    ends(program, "Stopped. Done: pi02.")
    assert_sound(half)


def test_two_at_the_same_time_are_refused(school: School) -> None:
    school.cards.mkdir()
    held = os.open(school.cards, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    done = school.run(school.job(1, files=True))
    os.close(held)
    assert (done.returncode, "it is running already" in done.stderr) == (1, True)
