"""The first boot, with folders as cards: the real program, with ssh-keygen, chpasswd, openssl and argon2."""

import ctypes
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import argon2
import pytest

from ansible_collections.mynn.pi.plugins.module_utils import preseed
from tests.support.jupyter_server import render_template
from tests.support.programs import ROOT
from tests.support.student import as_root
from tests.unit.image.test_preseed import IMAGER, KEY, PUBLIC, TEMPLATE, YESCRYPT, authority

TREE = ROOT / "roles/image/files/first_boot"
PROGRAM = TREE / "opt/mynn/boot/first_boot.py"
SYSTEM = ROOT / "roles/system"
SETTINGS = "boot/firmware/rpi-preseed.toml"
HOST_KEYS = ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
ANOTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICtg8TFATI7pOSSUNkxV9rVHo5+/hRTpd1Z12tmU8XpW teacher@laptop"
CONF = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"

sys.modules["preseed"] = preseed  # on a Pi, the role puts it beside the program
sys.path.append(str(PROGRAM.parent))
first_boot = importlib.import_module("first_boot")


class Card:
    """A card made from the image: all files that the first boot reads or writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folders = ["issue.d", "ssh/sshd_config.d", "wpa_supplicant", "default"]
        for folder in ("home/pi", "var/lib", *(f"etc/{folder}" for folder in folders)):
            (root / folder).mkdir(parents=True)
        self.write("etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\timage\n::1\tlocalhost ip6-localhost\n")
        self.write("etc/passwd", "root:x:0:0::/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n")
        self.write("etc/shadow", "root:*:20000:0:99999:7:::\npi:!:20000:0:99999:7:::\n")
        (root / "etc/shadow").chmod(0o640)
        self.write("etc/group", "root:x:0:\nnetdev:x:105:pi,other\npi:x:1000:\n")
        self.write("etc/gshadow", "netdev:!::pi,other\npi:!::\n")
        for kind in ("rsa", "ed25519"):
            self.write(f"etc/ssh/ssh_host_{kind}_key", "the image's, so known to everybody")
        self.write("opt/mynn/boot/sshd.conf", (SYSTEM / "files/sshd.conf").read_text())  # as the role installs it
        self.write("etc/machine-id", f"{os.urandom(16).hex()}\n")  # systemd fills an empty one
        self.write("boot/firmware/school-ca.pem", authority())
        for path in (SETTINGS, "opt/mynn/boot/rpi-preseed.toml"):
            self.write(path, TEMPLATE.read_text().replace("\n", "\r\n"))

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file to the card."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        """Read a file from the card."""
        return (self.root / path).read_bytes().decode()

    def boot(self, settings: str | bytes | None = None) -> None:
        """Run the first boot, with new settings if given."""
        if settings is not None:
            self.write(SETTINGS, settings)
        first_boot.main([str(self.root)])

    def announce(self) -> None:
        """Run what writes this-pi.txt."""
        environment = os.environ | {"MYNN_ROOT": str(self.root)}
        subprocess.run(["/bin/sh", PROGRAM.with_name("announce.sh")], env=environment, check=True)

    @property
    def error(self) -> str:
        """The contents of rpi-preseed-error.txt, or an empty string."""
        path = self.root / "boot/firmware/rpi-preseed-error.txt"
        return path.read_bytes().decode() if path.exists() else ""

    def fact(self, label: str) -> str:
        """Return the value of a label in this-pi.txt."""
        found = re.search(f"^{label}: *(.*)\r$", self.read("boot/firmware/this-pi.txt"), re.M)
        assert found
        return found[1]

    def shadow(self) -> str:
        """Return the account's hashed password."""
        return self.read("etc/shadow").splitlines()[1].split(":")[1]

    def files(self) -> dict[str, tuple[int, int, bytes]]:
        """Return the mode, time and contents of every file."""
        paths = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        return {
            path.relative_to(self.root).as_posix(): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
            for path in paths
            if not path.name.endswith(("-", ".lock"))
        }


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path / "card")


def opens_notebooks(card: Card, password: str, path: str = "etc/jupyter/password") -> bool:
    hashed = card.read(path)
    assert hashed.endswith("\n")
    with suppress(argon2.exceptions.VerifyMismatchError):
        return argon2.PasswordHasher().verify(hashed.removeprefix("argon2:").strip(), password)
    return False


def opens_account(card: Card, password: str) -> bool:
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return bool(crypt(password.encode(), card.shadow().encode()).decode() == card.shadow())


def test_a_card_gets_its_own_identity(card: Card) -> None:
    card.boot()
    name = card.read("etc/hostname").strip()
    assert re.fullmatch("mynn-[0-9a-f]{6}", name)
    assert card.read("etc/hosts").splitlines()[1:] == ["::1\tlocalhost ip6-localhost", f"127.0.1.1\t{name}"]
    assert sorted(path.name for path in (card.root / "etc/ssh").glob("ssh_host_*")) == HOST_KEYS
    assert card.fact("Name") == name
    assert card.fact("Notebooks") == f"http://{name}.local:8888"
    for label, opens in (("Password", opens_notebooks), ("Account password", opens_account)):
        password = card.fact(label)
        assert re.fullmatch("[a-hjkmnp-z2-9]{10}", password)
        assert opens(card, password)
        assert not opens(card, "another")
    assert card.fact("Password") != card.fact("Account password"), "the student's password must not give root"
    assert card.shadow().startswith("$y$")
    for secret in ("etc/ssh/ssh_host_ed25519_key", "etc/jupyter/password", "var/lib/mynn-pi/passwords"):
        assert (card.root / secret).stat().st_mode & 0o077 == 0
    assert card.error == ""
    before = card.files()
    for label in ("Password", "Account password"):
        places = [path for path, (_, _, content) in before.items() if card.fact(label).encode() in content]
        assert places == ["boot/firmware/this-pi.txt"]
    card.boot()
    assert card.files() == before, "a second boot changes nothing"


def test_the_desks_card_says_how_to_open_the_desk(card: Card) -> None:
    (card.root / "etc/mynn-desk").mkdir()
    card.boot()
    password = card.fact("Password")
    assert opens_notebooks(card, password, "etc/mynn-desk/password")
    assert (card.fact("Name"), card.fact("The desk")) == ("desk", "http://desk.local")
    assert password in card.read("etc/issue.d/mynn-pi.issue")
    assert not (card.root / "etc/jupyter").exists()
    card.write("etc/mynn-desk/password", "another\n")
    card.announce()
    assert "was changed later" in card.fact("Password")
    assert password not in card.read("etc/issue.d/mynn-pi.issue")


def test_a_torn_this_pi_txt_is_made_again_from_its_copy(card: Card) -> None:
    """On FAT, no file replaces another atomically."""
    card.boot()
    file, copy = (f"boot/firmware/{name}" for name in ("this-pi.txt", ".this-pi.txt.new"))
    whole = card.read(file)
    for torn, spare in (("", whole), (whole[:300], whole), (whole, whole[:300]), (whole, "")):
        card.write(file, torn)
        card.write(copy, spare)
        card.announce()
        assert card.read(file) == whole
        assert not (card.root / copy).exists()


class PowerCut(BaseException):
    """Nothing more is done: each further step raises it, too."""


def cut_boot(card: Card, steps: int) -> bool:
    """Run the first boot, and cut the power after a number of steps. Return whether it finished before that."""
    left, synced = iter(range(steps)), set[int]()
    fsync, replace = os.fsync, os.replace

    def cut(before: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise PowerCut
            if before is fsync:
                synced.add(os.fstat(arguments[0]).st_ino)
            if before is replace and not Path(arguments[0]).is_symlink():
                assert Path(arguments[0]).stat().st_ino in synced, f"{arguments[1]} could be empty after a cut"
            return before(*arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch, suppress(PowerCut):
        for module, name in ((os, "fsync"), (os, "replace"), (os, "unlink"), (os, "open"), (subprocess, "run")):
            patch.setattr(module, name, cut(getattr(module, name)))
        first_boot.main([str(card.root)])
        return True
    return False


def starts_at_boot(card: Card) -> bool:
    """Return whether mynn-first-boot.service would start the program, by running its ExecCondition on the card."""
    unit = (TREE / "etc/systemd/system/mynn-first-boot.service").read_text(encoding="utf-8")
    (condition,) = re.findall(r"^ExecCondition=/bin/sh -c '(.*)'$", unit, re.M)
    condition = re.sub(" (?=/(boot|var|opt)/)", f" {card.root}", condition)
    done = subprocess.run(["/bin/sh", "-c", condition.replace("$$", "$")], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode == 0


ALL = f"""{IMAGER}
[mynn]
password = "marigold7"

[[mynn.wlan]]
ssid = 'Grün & "quoted"'

[[mynn.wlan]]
ssid = "School"
method = "peap"
identity = "pi@school.example"
password = "of the school"
ca_certificate = "school-ca.pem"
domain = "radius.school.example"
"""


def assert_all_applied(card: Card) -> None:
    assert card.error == ""
    assert card.read(SETTINGS) == card.read("opt/mynn/boot/rpi-preseed.toml"), "passwords would stay on the card"
    assert card.read("etc/hostname") == "pi07\n"
    assert card.read("etc/hosts").splitlines()[-1] == "127.0.1.1\tpi07"
    assert str((card.root / "etc/localtime").readlink()) == "../usr/share/zoneinfo/Europe/Berlin"
    assert 'XKBLAYOUT="gb"\n' in card.read("etc/default/keyboard")
    assert opens_notebooks(card, "marigold7")
    assert card.shadow() == YESCRYPT
    assert card.fact("Notebooks") == "http://pi07.local:8888"
    assert card.fact("Password") == card.fact("Account password") == "the one that you chose"
    assert card.fact("Over SSH") == "ssh teacher@pi07.local"
    assert card.read(CONF).count("network={") == 4  # the school's twice
    assert (card.root / CONF).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (card.root / "etc/ssh").glob("ssh_host_*")) == HOST_KEYS
    assert card.read("etc/passwd").splitlines()[1] == "teacher:x:1000:1000::/home/teacher:/bin/bash"
    assert card.read("etc/group") == "root:x:0:\nnetdev:x:105:other,teacher\nteacher:x:1000:\n"
    assert card.read("etc/gshadow") == "netdev:!::other,teacher\nteacher:!::\n"
    assert (card.root / "etc/shadow").stat().st_mode & 0o777 == 0o640
    keys = card.root / "home/teacher/.ssh/authorized_keys"
    assert keys.read_text().splitlines() == [PUBLIC]
    assert (keys.stat().st_mode & 0o777, keys.stat().st_uid, keys.stat().st_gid) == (0o600, 1000, 1000)
    assert (keys.parent.stat().st_mode & 0o777, keys.parent.stat().st_uid) == (0o700, 1000)
    assert not (card.root / "home/pi").exists()
    assert card.read("etc/ssh/sshd_config.d/10-mynn-pi.conf") == (SYSTEM / "files/sshd.conf").read_text()


@as_root
def test_plain_passwords_and_other_keys(card: Card) -> None:
    """A password opens the account and is on the card nowhere; a key is added to those that are there, once."""
    card.write("home/pi/.ssh/authorized_keys", f"# of old\n{PUBLIC}\n")
    again = PUBLIC.replace("you@desk", "another comment")
    card.write("etc/shadow.lock", f"{os.getpid()}\0")  # of a power cut
    card.boot(f'[user]\npassword = "it is #1: mine"\n[ssh]\nauthorized_keys = ["{again}", "{ANOTHER}"]\n')
    assert card.error == ""
    assert card.read("home/pi/.ssh/authorized_keys") == f"# of old\n{PUBLIC}\n{ANOTHER}\n"
    assert opens_account(card, "it is #1: mine")
    assert [path for path, (_, _, content) in card.files().items() if b"it is #1" in content] == []


@pytest.mark.slow
@as_root
def test_the_next_boot_recovers_from_a_power_cut_at_any_step(tmp_path: Path) -> None:
    """At the first boot, with all kinds of settings. Then no secret is left on the small partition."""
    steps = 0
    while True:
        card = Card(tmp_path / str(steps))
        card.write(SETTINGS, ALL)
        if cut_boot(card, steps):
            break
        if starts_at_boot(card):
            card.boot()
        assert_all_applied(card)
        assert not starts_at_boot(card)
        assert not list(card.root.rglob("*.new"))
        steps += 3  # each takes a second
    assert steps > 60
    for path, (_, _, content) in card.files().items():
        assert b"of the school" not in content and b"marigold7" not in content, path


@as_root
def test_settings_are_applied_later_and_once_and_what_is_not_given_stays(card: Card) -> None:
    card.boot()
    card.boot(ALL)
    assert_all_applied(card)
    assert not starts_at_boot(card)
    card.write("etc/hostname", "named-by-site\n")
    card.boot('[locale]\ntimezone = "Europe/Paris"\n')
    assert card.read("etc/hostname") == "named-by-site\n"
    assert KEY in card.read(CONF)
    assert (card.root / "etc/localtime").readlink().name == "Paris"
    card.boot('[wlan]\ncountry = "GB"\nssid = "Home"\n')
    assert list((card.root / CONF).parent.iterdir()) == [card.root / CONF], "the school's certificate goes"


def test_of_a_file_with_mistakes_nothing_is_applied(card: Card, capfd: pytest.CaptureFixture[str]) -> None:
    text = '[system]\nhostname = "Pi_7"\n[locale]\ntimezone = "Berlin"\n[mynn]\npassword = "sunflower7"\n'
    card.boot(text)
    lines = card.error.split("\r\n")
    assert lines[0] == "Nothing in rpi-preseed.toml was applied, because of this:"
    assert sorted(line.partition(":")[0] for line in lines[2:4]) == ["[locale] timezone", "[system] hostname"]
    assert "Until then, the Pi has its default settings." in lines
    assert card.fact("Name").startswith("mynn-")
    assert card.read(SETTINGS) == text
    assert "sunflower7" not in card.error + capfd.readouterr().err
    assert starts_at_boot(card), "what is missing may be there at the next boot"
    os.truncate(card.root / SETTINGS, 1 << 40)  # more than the memory
    card.boot()
    assert "the file is far too long" in card.error
    card.boot('[connect]\nenabled = true\n[system]\nhostname = "pi07"\n')
    assert card.read("etc/hostname") == "pi07\n"
    assert card.error.startswith("rpi-preseed.toml was applied, except for this:\r\n\r\n[connect] enabled: ")
    assert not starts_at_boot(card)
    card.boot('[locale]\ntimezone = "Europe/Berlin"\n')
    assert card.error == ""


def test_it_says_how_to_reach_the_pi_and_is_written_only_if_that_changed(card: Card) -> None:
    card.boot()
    before = card.files()
    card.announce()
    assert card.files() == before
    key = card.root / "etc/ssh/ssh_host_ed25519_key.pub"
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert card.fact("SSH host key") == f"{fingerprint.split()[1]} (ED25519)"
    assert fingerprint.split()[1] in card.read("etc/issue.d/mynn-pi-host-key.issue")
    settings = {"python_venv": "/opt/mynn/venv", "jupyter_port": 8889, "jupyter_https": True}
    card.write("etc/systemd/system/jupyter.service", render_template("jupyter.service", **settings))
    card.write("etc/jupyter/jupyter_server_config.py", render_template("jupyter_server_config.py", **settings))
    card.announce()
    assert re.fullmatch(r"https://mynn-\w+\.local:8889", card.fact("Notebooks"))
    (card.root / "etc/systemd/system/jupyter.service").unlink()
    for unit in ("jupyter-9002@ada", "jupyter-9001@student", "jupyter-10000@ben"):  # of several students
        card.write(f"etc/systemd/system/{unit}.socket", "[Socket]\n")
    card.announce()
    assert card.fact("Notebooks").endswith(".local:9001")


CONNECTED = "wlan0: CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:00:01 completed\n"
EAP_FAILED = "wlan0: CTRL-EVENT-EAP-FAILURE EAP authentication failed\n"
CERT_ERROR = "wlan0: CTRL-EVENT-EAP-TLS-CERT-ERROR reason=1 depth=1 subject='/CN=a' err='self-signed certificate'\n"
# What wpa_supplicant writes, and what it means.
JOURNALS = {
    "": "no network that was set is in reach",
    'wlan0: CTRL-EVENT-SSID-TEMP-DISABLED ssid="School" auth_failures=1 reason=WRONG_KEY\n': "the password is wrong",
    CERT_ERROR + EAP_FAILED: "the server's certificate is not from ca_certificate",
    CERT_ERROR.replace("self-signed certificate", "Domain suffix mismatch"): "the server's name does not end in domain",
    CONNECTED + EAP_FAILED: "the school refused identity or password",
}


def test_the_state_of_wifi_is_told(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card.boot()
    card.write("sys/class/net/wlan0/address", "b8:27:eb:12:34:56\n")
    card.announce()
    assert card.fact("Wi-Fi") == "no network is set in rpi-preseed.toml (hardware address b8:27:eb:12:34:56)"
    card.write(CONF, "")
    (tmp_path / "journalctl").write_text(f"#!/bin/sh\ncat '{tmp_path}/journal'\n")
    (tmp_path / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for journal, state in JOURNALS.items():
        (tmp_path / "journal").write_text(journal)
        card.announce()
        assert card.fact("Wi-Fi").removeprefix("not connected: ").startswith(f"{state} (")


def test_a_password_is_shown_until_it_is_changed(card: Card) -> None:
    card.boot()
    account = card.fact("Account password")
    certificate = "-----BEGIN PRIVATE KEY-----\nof the Pi\n"  # where site.yml has set up HTTPS
    card.write("etc/jupyter/password", f"argon2:written by site.yml\n{certificate}")
    card.announce()
    assert card.fact("Password").startswith("was changed later, by site.yml")
    assert card.fact("Account password") == account
    card.write("etc/shadow", card.read("etc/shadow").replace("pi:$", "pi:$$"))
    card.announce()
    assert card.fact("Account password").startswith("was changed later")
    card.boot('[mynn]\npassword = "sunflower7"\n')
    assert card.fact("Password") == "the one that you chose"
    assert card.fact("Account password").startswith("was changed later")
    assert card.read("etc/jupyter/password").startswith("argon2:$argon2id$")
    assert card.read("etc/jupyter/password").endswith(f"\n{certificate}")
    (card.root / "boot/firmware/this-pi.txt").unlink()
    card.announce()
    assert card.fact("Password").startswith("no longer known")


def test_the_usb_networks_addresses_are_each_pis_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modprobe").write_text('#!/bin/sh\necho "$*"\n')
    (tmp_path / "modprobe").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("MYNN_ROOT", str(tmp_path))
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/serial-number").write_text("00000000a1b2c3d4\0")
    found = subprocess.check_output(["/bin/sh", PROGRAM.with_name("usb_gadget.sh")], text=True)
    assert found == "g_ether dev_addr=02:6d:79:b2:c3:d4 host_addr=06:6d:79:b2:c3:d4\n"


def test_an_address_is_taken_again_if_the_network_gave_it(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dhcpcd").mkdir(parents=True)
    kept = tmp_path / "var/lib/dhcpcd/usb0.address"

    def event(reason: str, **given: str) -> str:
        """Source the hook, as dhcpcd does, and return what it calls ip with."""
        script = f'ip() {{ echo "$@"; }}; set -eu; . {TREE}/etc/dhcpcd.enter-hook'
        environment = {"MYNN_ROOT": str(tmp_path), "interface": "usb0", "reason": reason, **given}
        return subprocess.run(
            ["/bin/sh", "-c", script], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert event("CARRIER") == ""
    event("BOUND", new_ip_address="10.0.2.15", new_subnet_cidr="24")
    assert event("CARRIER").startswith("address add 10.0.2.15/24 dev usb0 noprefixroute valid_lft 10 ")
    for torn in ("", "10.0.2.15", "10.0.2.15/24 dev eth0", "/"):
        kept.write_text(torn)
        assert event("CARRIER") == ""
