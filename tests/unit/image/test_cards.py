"""`make cards`: an image or a card for each Pi, from a small image with a card's real layout.

Cards are loop devices; a program in place of lsblk says that they are cards in a reader, and when they are put in.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml

from ansible_collections.mynn.pi.plugins.module_utils.preseed import NAME, Preseed
from mynn.files import locked
from mynn_control.card_disks import disks
from mynn_control.card_image import CardError, newest_image, unpack
from mynn_control.image_release import pack
from tests.support.classroom import until
from tests.support.image import Image
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT
from tests.unit.image.conftest import FILES, Built
from tests.unit.image.test_preseed import KEY as IEEE
from tests.unit.image.test_preseed import authority

CARDS = [sys.executable, "-m", "mynn_control.cards"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICtg8TFATI7pOSSUNkxV9rVHo5+/hRTpd1Z12tmU8XpW teacher@laptop"
MIB = 1 << 20
WIFI = {"country": "GB", "networks": [{"ssid": "IEEE", "password": "password"}]}
UNKNOWN = {"country": "GB", "networks": [{"ssid": "IEEE"}]}
# Hands the job over in place of Ansible and the playbook, which take some seconds.
HAND_OVER = "import json, shutil, sys; shutil.copy(sys.argv[1], json.loads(sys.argv[3])['__cards_answer'])"
ODD = """for 'teachers' "only" #1"""
BOOT_NAMES = {name.removeprefix("boot/firmware/") for name in FILES if name.startswith("boot/")}
BOARDS: dict[str, str] = yaml.safe_load((ROOT / "playbooks/group_vars/all/boards.yml").read_text("utf-8"))["boards"]


@pytest.fixture(scope="module")
def image(built: Built) -> Path:
    """An image as `make image` leaves it, packed and with its .bmap."""
    subprocess.run(["bmaptool", "-q", "create", built.image, "-o", built.image.with_suffix(".img.bmap")], check=True)
    return pack(built.image)


class School:
    """A teacher's computer: an inventory, settings, what `make cards` leaves, and a reader for cards."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self.image = image
        self.cards = image.parent / f"of-{folder.name}"  # not on a tmpfs
        self.programs: list[pexpect.spawn] = []
        self.loops: dict[Path, str] = {}
        self.environment = os.environ | {"HOME": str(folder), "COLUMNS": "999"}
        self.environment["PATH"] = f"{folder}/bin:{Path(ANSIBLE_PLAYBOOK).parent}:{os.environ['PATH']}:/usr/sbin"
        self.write(".ssh/id_ed25519.pub", f"{KEY}\n")
        self.put_in()
        self.instead_of("lsblk", f'echo >>"{folder}/looks"; cat "{folder}/blocks.json"')

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
        job |= {"certificates": str(self.folder), "again": False, "boards": BOARDS}
        job |= {"pis": [entry(f"pi{number:02}", wifi) for number in range(1, count + 1)]} | more
        return [sys.executable, "-c", HAND_OVER, str(self.write("job.json", json.dumps(job)))]

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run it without a terminal. Returns its exit code, and all that it says."""
        done = subprocess.run(
            [*CARDS, *command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout[-8000:])
        return done.returncode, done.stdout

    def terminal(self) -> pexpect.spawn:
        """Write two cards at a terminal, and type the Wi-Fi's password."""
        program = pexpect.spawn(
            CARDS[0],
            [*CARDS[1:], *self.job(2, UNKNOWN)],
            cwd=ROOT,
            env=self.environment,
            encoding="utf-8",
            timeout=600,
            # Whoever runs the tests in the background has a shell that ignores Ctrl-C.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        program.logfile_read = sys.stdout
        self.programs.append(program)
        for asked in ("(not shown): ", "The same again: "):
            program.expect_exact(asked)
            program.sendline("password")
        return program

    def left(self) -> set[str]:
        return {path.name for path in self.cards.iterdir()}

    def blank_card(self, name: str) -> Path:
        """Make a card that is full of old data."""
        path = self.image.parent / f"{self.folder.name}-{name}"
        path.write_bytes(b"\xa5" * 256 * MIB)
        command = ["losetup", "--find", "--show", str(path)]
        self.loops[path] = subprocess.check_output(command, env=self.environment, text=True).strip()
        return path

    def put_in(self, *cards: Path, **more: Any) -> None:
        entries = [block(self.loops[card], size=card.stat().st_size, **more) for card in cards]
        new = self.write("blocks.new", json.dumps({"blockdevices": entries}))
        new.replace(self.folder / "blocks.json")

    def close(self) -> None:
        for program in self.programs:
            program.close(force=True)
        for path, loop in self.loops.items():
            subprocess.run(["losetup", "--detach", loop], check=False)
            path.unlink()
        shutil.rmtree(self.cards, ignore_errors=True)


def block(path: str, **more: Any) -> dict[str, Any]:
    """Return lsblk's entry of a card of 32 GB in a USB school."""
    card = {"path": path, "type": "disk", "size": 32 * 10**9, "ro": False, "rm": True, "tran": "usb"}
    return card | {"vendor": "Generic ", "model": "SD/MMC", "mountpoints": [None]} | more


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
    school.close()


def settings_of(disk: Path, *students: str) -> dict[str, Any]:
    """Return the settings on an image's or a card's boot partition, as the Pi, with several students, reads them."""
    found = Preseed(Image(disk).boot_read(NAME), Path("/nowhere"), students=students)
    assert found.mistakes + found.notes == []
    return found.settings


IEEE_ONLY = f"\ncountry=GB\nnetwork={{\n\tssid={b'IEEE'.hex()}\n\tpsk={IEEE}\n}}\n"


@pytest.mark.slow
def test_three_pis_from_the_inventory_to_images(school: School, image: Path, tmp_path: Path) -> None:
    """With settings, playbook and labels. No secret is said or shown."""
    school.write(
        "inventory.ini", '[pis]\npi[01:02].local\npi03 ansible_host=192.168.1.52 board=4 students=\'["a", "b"]\'\n'
    )
    school.write("group_vars/pis.yml", yaml.safe_dump({"cards_wifi": WIFI, "cards_account_password": ODD}))
    for program in ("bmaptool", "cp", "mcopy"):
        school.instead_of(program, f'echo "{program} $*" >>"{tmp_path}/commands"; exec $REAL "$@"')
    more = {"cards_files": True, "cards_timezone": "Europe/London", "cards_image": str(image)}
    more |= {"cards_folder": str(school.cards), "jupyter_passwords": f"{tmp_path}/passwords"}
    more |= {"labels_folder": f"{tmp_path}/labels"}
    command = [ANSIBLE_PLAYBOOK, "-i", tmp_path / "inventory.ini", "playbooks/cards.yml", "-e", json.dumps(more)]
    code, said = school.run([*map(str, command)])
    assert code == 0

    passwords = {path.name: path.read_text().strip() for path in (tmp_path / "passwords").iterdir()}
    for host in ("pi01", "pi02", "pi03"):
        own = {name: password for name, password in passwords.items() if name.startswith(host)}
        made = school.cards / f"{host}.img"
        written = settings_of(made, "a", "b")
        assert written.pop("passwords", {}) == {name[-1]: own[name] for name in own if host == "pi03"}
        assert written.pop("wifi").endswith(IEEE_ONLY)
        common = {"timezone": "Europe/London", "account_password": ODD, "ssh_keys": [KEY]}
        assert written == common | {"hostname": host, "password": min(own.items())[1]}
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        subprocess.run(["bmaptool", "-q", "copy", "--bmap", f"{made}.bmap", made, "/dev/null"], check=True)
        content = made.read_bytes()  # no other Pi's password is left on it
        assert [other for other in passwords.values() if other.encode() in content] == [*own.values()]
    assert stat.S_IMODE(school.cards.stat().st_mode) == 0o700
    assert school.left() == {"done.txt", *(f"pi0{n}.img{end}" for n in (1, 2, 3) for end in ("", ".bmap"))}
    said += (tmp_path / "commands").read_text()
    for secret in (*passwords.values(), IEEE, ODD, "'password'", '"password"'):
        assert secret not in said


def test_a_damaged_image_is_refused(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.img.xz"
    copy.symlink_to(image)
    bmap = image.with_suffix(".bmap").read_text()
    (tmp_path / "a.img.bmap").write_text(re.sub('(chksum=")[0-9a-f]{8}', r"\g<1>01234567", bmap, count=1))
    with pytest.raises(CardError, match=f"{copy} is damaged: .*checksum mismatch"):
        unpack(copy, tmp_path / "a.img")


def test_wrong_settings_are_named_before_anything_is_written(school: School) -> None:
    short = {"country": "UK", "networks": [{"ssid": "School", "password": "short", "passwort": "long enough"}]}
    pis = [entry("pi_01"), entry("pi02", short), entry("pi03", short), entry("pi03")]
    pis += [{**entry(""), "name": "10.0.0.7"}, entry("pi06", board="5")]
    code, said = school.run(school.job(files=True, pis=pis, image="/nowhere/mynn-pi-zero-*.img.xz"))
    assert code == 1
    for sentence in (
        "pi_01.local: [system] hostname: a name has at most 63 letters",
        "pi02.local, pi03.local: [[mynn.wlan]] 1 password: a Wi-Fi password has 8 to 63 characters.",
        "pi02.local, pi03.local: [[mynn.wlan]] 1 passwort: this Pi does not have such a setting.",
        "pi03.local: pi03.local would be called pi03, too: give each Pi a name of its own.",
        "10.0.0.7: an address is no name for a Pi.",
        "pi06.local: /nowhere/mynn-pi-zero-*.img.xz is no image for a Pi 5: run `make image BOARD=5`",
    ):
        assert sentence in said
    assert not school.cards.exists()


def test_certificates_are_copied_and_what_is_done_is_not_made_again(school: School) -> None:
    network = {"ssid": "School", "method": "peap", "identity": "pi@school.example", "password": "its own"}
    network |= {"ca_certificate": "ca.pem", "domain": "radius.school.example"}
    wifi = {"country": "GB", "networks": [network]}
    job = school.job(1, wifi, files=True)
    code, said = school.run(job)
    assert (code, "ca.pem is missing. It belongs beside" in said) == (1, True)
    pem = school.write("ca.pem", authority())
    (school.cards / ".parts").mkdir(parents=True)
    (school.cards / ".parts/own.img").write_text("half, with a password")  # of a killed run
    with locked(school.cards):
        assert school.run(job) == (1, "make cards: it is running already, in another terminal.\n")
    assert school.run(job)[0] == 0
    made = Image(school.cards / "pi01.img")
    assert made.boot_names() == BOOT_NAMES | {"ca.pem"}
    assert made.boot_read("ca.pem") == pem.read_bytes()
    assert tomllib.loads(made.boot_read(NAME).decode())["mynn"]["wlan"] == [
        network
    ]  # with its password, as it needs it
    pem.write_text(f"another one\n{pem.read_text()}")
    assert "Done already" not in school.run(job)[1]
    assert "All are done. To write one again" in school.run(job)[1]
    assert "pi01 is done (1 of 1)" in school.run(school.job(1, wifi, files=True, again=True))[1]
    assert school.left() == {"done.txt", "pi01.img", "pi01.img.bmap"}


def test_without_pis_or_a_terminal_it_says_so(school: School) -> None:
    for command, sentence in (
        ([sys.executable, "-c", ""], "there is no Pi below [pis] in the inventory"),
        (school.job(), "run this in a terminal"),
        (school.job(wifi=UNKNOWN), "the Wi-Fi IEEE has no password"),
    ):
        code, said = school.run(command)
        assert (code, sentence in said) == (1, True)


def test_the_image_is_the_newest_for_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    older, newer, zero = "mynn-pi-3-zero2w-4-0.1.img.xz", "mynn-pi-3-zero2w-4-0.0.img.xz", "mynn-pi-zero-5.img.xz"
    for number, name in enumerate((older, newer, zero)):
        Path(name).touch()
        os.utime(name, (number, number))
    assert newest_image("*.img.xz", "4", BOARDS) == Path(newer)
    for pattern, board, sentence in (
        ("*.img.xz", "5", "no image for a Pi 5: run `make image BOARD=5`"),  # the Zero's version is 5
        ("*.img.xz", "", f"{zero}). Name the kind in the inventory"),
        ("x", "", "x is no image: run `make image`, or name one"),
    ):
        with pytest.raises(CardError, match=re.escape(sentence)):
            newest_image(pattern, board, BOARDS)
    Path("school.img.xz").touch()  # for any Pi
    assert newest_image("*.img.xz", "5", BOARDS) == Path("school.img.xz")


def part(path: str, *mounts: str | None, **more: Any) -> dict[str, Any]:
    return block(path, type="part", mountpoints=list(mounts), **more)


# What lsblk says of a disk, and why it is refused; nothing if it is a card.
DISKS: list[tuple[dict[str, Any], str]] = [
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
    expected = {child["path"] for child in said.get("children", []) if any(child["mountpoints"])}
    assert set(found.mounted) == expected


# A script in the place of bmaptool, the card's device being $5.
BMAPTOOL = """
case "$*" in
*$GOOD) flock --nonblock $GOOD true && touch "$HOME/unlocked" ;;
*$BAD) $REAL "$@" || exit; printf x | dd of="$5" bs=1 seek=4194400 conv=notrunc status=none; exit ;;
*$HANGS) dd if="$4" of="$5" bs=1M count=8 conv=notrunc,fsync status=none; touch "$HOME/hangs"; exec sleep 3600 ;;
esac
exec $REAL "$@"
"""


@pytest.mark.slow
@pytest.mark.root
def test_cards_are_written_one_after_the_other_and_after_ctrl_c_the_next_run_continues(school: School) -> None:
    """A card from before, a hard disk and a card that is left in are not written to; a bad card is noticed.

    The Wi-Fi's password is asked for once, and typed twice.
    """
    other, disk, bad, good, half = (school.blank_card(name) for name in ("other", "disk", "bad", "good", "half"))
    loops = f"BAD={school.loops[bad]} GOOD={school.loops[good]} HANGS={school.loops[half]}"
    school.instead_of("bmaptool", f"{loops}\n{BMAPTOOL}")
    school.put_in(other)
    program = school.terminal()
    program.expect_exact("Everything on each card will be erased.")
    program.expect_exact("Put in the card for pi01")
    school.put_in(other, disk, rm=False)
    program.expect_exact(f"{school.loops[disk]} (Generic SD/MMC 0 GB) is not used: it is a hard disk")
    school.put_in(other, bad, good)
    program.expect_exact("Several cards are new: ")
    school.put_in(other, bad)
    program.expect_exact(f"Press Enter to write pi01 onto {school.loops[bad]}")
    school.put_in(other)
    program.sendline()
    program.expect_exact("It was taken out.")
    school.put_in(other, bad)
    press_enter(program, school, "pi01", bad)
    program.expect_exact("checksum mismatch")
    program.expect_exact("pi01's card was not written: see what bmaptool says above.")
    program.expect_exact("Put in the card for pi01")
    before = (school.folder / "looks").stat().st_size
    until(lambda: (school.folder / "looks").stat().st_size > before + 3)  # it is still in
    school.put_in(other, good)
    press_enter(program, school, "pi01", good)
    program.expect_exact("pi01 is done (1 of 2). Take its card out.")
    assert not (school.folder / "unlocked").exists()  # so no desktop mounted it meanwhile
    school.put_in(other, half)
    press_enter(program, school, "pi02", half)
    until((school.folder / "hangs").exists)
    program.sendintr()
    assert ends(program, "pi02's card is not finished.", "Stopped. Done: pi01.", "it continues with pi02.") == 130
    for card in (bad, half):
        assert card.read_bytes()[:4096] == bytes(4096)  # no Pi starts with it
    school.put_in()
    (school.folder / "bin/bmaptool").unlink()
    program = school.terminal()
    program.expect_exact("Done already: 1: pi01")
    program.expect_exact("Put in the card for pi02")
    school.put_in(half)
    press_enter(program, school, "pi02", half)
    assert ends(program, "pi02 is done (1 of 1).", "All are done.") == 0
    for number, card in enumerate((good, half), 1):
        written = settings_of(card)
        assert (written["hostname"], written["password"]) == (f"pi0{number}", f"secret-of-pi0{number}")
        assert written["wifi"].endswith(IEEE_ONLY)
        # Old data does not shine through.
        assert Image(card).debugfs("cat /srv/zeros") == bytes(MIB)
        subprocess.run(["e2fsck", "-f", "-n", f"{card}?offset={Image(card).root}"], check=True)
    assert set(other.read_bytes()) == set(disk.read_bytes()) == {0xA5}
    assert school.left() == {"done.txt"}


def press_enter(program: pexpect.spawn, school: School, host: str, card: Path) -> None:
    program.expect_exact(f"Press Enter to write {host} onto {school.loops[card]}")
    program.sendline()


def ends(program: pexpect.spawn, *sentences: str) -> int:
    """Wait for the last sentences and return the exit code."""
    for sentence in (*sentences, pexpect.EOF):
        program.expect_exact(sentence)
    program.close()
    return int(program.exitstatus)
