"""The first boot, with folders as cards: the real program, with ssh-keygen, chpasswd, yaml and argon2."""

from __future__ import annotations

import copy
import ctypes
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import argon2
import pytest
import yaml

from tests.support.jupyter_server import render_template
from tests.support.programs import ROOT, load

ROLE = ROOT / "roles/image/files"
TREE = ROLE / "first_boot"
PROGRAM = TREE / "opt/mynn/boot/first_boot.py"
SYSTEM = ROOT / "roles/system"
ZONES = Path("/usr/share/zoneinfo")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can install the account's keys: run pytest as root")


first_boot = load(PROGRAM)
ANNOUNCE = PROGRAM.with_name("announce.sh")


class Card:
    """A card made from the image: all files that the first boot reads or writes."""

    def __init__(self, root: Path, serial: str = "") -> None:
        self.root = root
        for folder in (
            "boot/firmware",
            "etc/issue.d",
            "etc/ssh/sshd_config.d",
            "etc/wpa_supplicant",
            "home/pi",
            "run",
            "var/lib",
        ):
            (root / folder).mkdir(parents=True)
        (root / "usr/share").mkdir(parents=True)
        (root / "usr/share/zoneinfo").symlink_to(ZONES)
        if serial:
            self.write("proc/device-tree/serial-number", f"{serial}\0")
        self.write("etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\timage\n::1\tlocalhost ip6-localhost\n")
        self.write("etc/passwd", "root:x:0:0::/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n")
        self.write("etc/shadow", "root:*:20000:0:99999:7:::\npi:!:20000:0:99999:7:::\n")
        self.write("etc/ssh/ssh_host_rsa_key", "the image's, so known to everybody")
        self.write("etc/ssh/ssh_host_ed25519_key", "the image's, so known to everybody")
        self.write("opt/mynn/boot/sshd.conf", (SYSTEM / "files/sshd.conf").read_text())  # as the role installs it
        self.write("etc/machine-id", f"{os.urandom(16).hex()}\n")  # systemd fills an empty one
        self.write("boot/firmware/classroom.yml", (ROLE / "classroom.txt").read_text().replace("\n", "\r\n"))

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file to the card."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        """Read a file from the card."""
        return (self.root / path).read_bytes().decode()

    def boot(self, settings: str | bytes | None = None) -> None:
        """Run the first boot, with a new classroom.yml if given."""
        if settings is not None:
            self.write("boot/firmware/classroom.yml", settings)
        first_boot.main([str(self.root)])

    @property
    def error(self) -> str:
        """The contents of classroom-error.txt, or an empty string."""
        path = self.root / "boot/firmware/classroom-error.txt"
        return path.read_bytes().decode() if path.exists() else ""

    def fact(self, label: str) -> str:
        """Return the value of a label in this-pi.txt."""
        found = re.search(f"^{label}: *(.*)\r$", self.read("boot/firmware/this-pi.txt"), re.M)
        assert found
        return found[1]

    def shadow(self) -> str:
        """Return the account's hashed password."""
        return self.read("etc/shadow").split("pi:")[1].split(":")[0]

    def files(self) -> dict[str, tuple[int, int, bytes]]:
        """Return the mode, time and contents of every file."""
        paths = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        return {
            path.relative_to(self.root).as_posix(): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
            for path in paths
            if path.name not in (".pwd.lock", "shadow-")
        }


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path / "card")


def crypt(password: str, hashed: str) -> str:
    """Hash a password with the system's libcrypt."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return str(library.crypt(password.encode(), hashed.encode()).decode())


def opens_notebooks(card: Card, password: str) -> bool:
    hashed = card.read("etc/jupyter/password")
    assert hashed.endswith("\n")
    try:
        return argon2.PasswordHasher().verify(hashed.removeprefix("argon2:").strip(), password)
    except argon2.exceptions.VerifyMismatchError:
        return False


def opens_account(card: Card, password: str) -> bool:
    return crypt(password, card.shadow()) == card.shadow()


def assert_complete(card: Card) -> None:
    """The Pi has its own identity, consistent in all files."""
    name = card.read("etc/hostname").strip()
    assert re.fullmatch("mynn-[0-9a-f]{6}", name)
    assert card.read("etc/hosts").splitlines()[1] == f"127.0.1.1\t{name}"
    keys = sorted(path.name for path in (card.root / "etc/ssh").glob("ssh_host_*"))
    assert keys == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    key = card.root / "etc/ssh/ssh_host_ed25519_key"
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
    assert public.split()[:2] == card.read("etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
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
        assert (card.root / secret).stat().st_mode & 0o777 == 0o600
    assert not list(card.root.rglob("*.new"))


def test_a_card_gets_its_own_identity(card: Card) -> None:
    card.boot()
    assert_complete(card)
    assert card.error == ""


def test_plain_passwords_are_in_one_file_only(card: Card) -> None:
    card.boot()
    for label in ("Password", "Account password"):
        places = [path for path, (_, _, content) in card.files().items() if card.fact(label).encode() in content]
        assert places == ["boot/firmware/this-pi.txt"]


def test_the_name_comes_from_the_serial_number(tmp_path: Path) -> None:
    card = Card(tmp_path / "card", serial="00000000a1b2c3d4")
    card.boot()
    assert card.read("etc/hostname") == "mynn-b2c3d4\n"


def test_two_cards_share_nothing(tmp_path: Path) -> None:
    cards = [Card(tmp_path / name) for name in ("one", "two")]
    for card in cards:
        card.boot()
    one, two = (card.files() for card in cards)
    assert one.keys() == two.keys()
    shared = {path for path in one if one[path][2] == two[path][2]}
    # Files from the image, and the fingerprint of their settings, of which they have none.
    from_image = {"boot/firmware/classroom.yml", "etc/passwd", "opt/mynn/boot/sshd.conf"}
    assert shared == {*from_image, "var/lib/mynn-pi/applied"}
    for label in ("Name", "Password", "Account password"):
        assert cards[0].fact(label) != cards[1].fact(label)


def test_a_second_boot_changes_nothing(card: Card) -> None:
    card.boot()
    before = card.files()
    card.boot()
    assert card.files() == before


def test_the_role_system_would_not_change_the_hosts_file(card: Card) -> None:
    card.boot()
    name = card.read("etc/hostname").strip()
    tasks = yaml.safe_load((SYSTEM / "tasks/hostname.yml").read_text(encoding="utf-8"))
    (hosts,) = (task["ansible.builtin.lineinfile"] for task in tasks if "ansible.builtin.lineinfile" in task)
    hosts |= {"path": str(card.root / hosts["path"].lstrip("/"))}
    arguments = json.dumps(hosts).replace("{{ system_hostname }}", name)
    ansible = [str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "ansible.builtin.lineinfile"]
    local = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    environment = os.environ | {"ANSIBLE_STRATEGY": "linear"}
    command = [*ansible, *local, "-a", arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "SUCCESS" in done.stdout, done.stdout + done.stderr
    assert "changed: false" in done.stdout


def test_the_hash_has_the_parameters_of_the_role_jupyter(card: Card) -> None:
    passwords = load(ROOT / "plugins/filter/passwords.py")
    theirs = passwords.jupyter_hash("word", "a salt of some length")
    assert first_boot.jupyter_hash("word").split("$")[:4] == theirs.split("$")[:4]


# ---------------------------------------------------------------------------------------------------------------------
# Power cuts


def cut_boot(card: Card, steps: int) -> bool:
    """Run the first boot, and cut the power after a number of steps. Return whether it finished before that.

    The process exits without any clean-up, and a file that was being synced is truncated to half.
    """
    child = os.fork()
    if child == 0:
        left = steps

        def cut(before: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                if left == 0:
                    if before is fsync and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                        with suppress(OSError):  # opened for reading only, so already on the card
                            os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
                    os._exit(99)
                left -= 1
                if before is fsync:
                    synced.add(os.fstat(arguments[0]).st_ino)
                if before is replace and not Path(arguments[0]).is_symlink():
                    assert Path(arguments[0]).stat().st_ino in synced, f"{arguments[1]} could be empty after a cut"
                return before(*arguments, **options)

            return step

        try:
            fsync, replace, synced = os.fsync, os.replace, set[int]()
            os.fsync, os.replace, os.unlink = cut(os.fsync), cut(os.replace), cut(os.unlink)
            os.open, subprocess.run = cut(os.open), cut(subprocess.run)
            first_boot.main([str(card.root)])
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 99)
    return code == 0


def starts_at_boot(card: Card) -> bool:
    """Return whether mynn-first-boot.service would start the program, by running its ExecCondition on the card."""
    unit = (TREE / "etc/systemd/system/mynn-first-boot.service").read_text(encoding="utf-8")
    (condition,) = re.findall(r"^ExecCondition=/bin/sh -c '(.*)'$", unit, re.M)
    for folder in ("/boot", "/var"):
        condition = condition.replace(f"{folder}/", f"{card.root}{folder}/")
    done = subprocess.run(["/bin/sh", "-c", condition.replace("$$", "$")], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode == 0


@pytest.mark.slow
def test_the_next_boot_recovers_from_a_power_cut_at_any_step(tmp_path: Path) -> None:
    steps = 0
    while True:
        card = Card(tmp_path / str(steps))
        if cut_boot(card, steps):
            break
        if starts_at_boot(card):  # after the last step, nothing is left to do
            card.boot()
        assert_complete(card)
        assert not starts_at_boot(card)
        steps += 1
    assert steps > 20


@pytest.mark.slow
@as_root
def test_the_next_boot_recovers_from_a_power_cut_while_settings_are_applied(tmp_path: Path) -> None:
    before, steps = Card(tmp_path / "before"), 0
    before.boot('hostname: pi06\ntimezone: Europe/Paris\npassword: "sunflower6"\naccount_password: "sunflower5"\n')
    while True:
        card = copy.copy(before)
        card.root = tmp_path / str(steps)
        shutil.copytree(before.root, card.root, symlinks=True)
        card.write("boot/firmware/classroom.yml", ALL.format(key=PUBLIC))
        if cut_boot(card, steps):
            break
        assert card.read("etc/hostname") in ("pi06\n", "pi07\n")
        assert card.read("etc/hosts").splitlines()[1] in ("127.0.1.1\tpi06", "127.0.1.1\tpi07")
        assert (card.root / "etc/localtime").readlink().name in ("Paris", "Berlin")
        assert opens_notebooks(card, "sunflower6") or opens_notebooks(card, "sunflower7")
        assert opens_account(card, "sunflower5") or opens_account(card, "it's only: mine #1")
        assert card.fact("Name") in ("pi06", "pi07")
        if starts_at_boot(card):
            card.boot()
        assert_all_applied(card)
        assert not starts_at_boot(card)
        steps += 1
    assert steps > 15


def test_a_stale_lock_is_ignored(card: Card) -> None:
    card.write("etc/shadow.lock", f"{os.getpid()}\0")
    card.boot()
    assert_complete(card)


def test_python_is_started_only_if_there_is_something_to_do(card: Card) -> None:
    assert starts_at_boot(card)
    card.boot()
    assert not starts_at_boot(card)
    card.write("boot/firmware/classroom.yml", "hostname: pi07\n")
    assert starts_at_boot(card)
    card.boot()
    assert not starts_at_boot(card)
    card.write("boot/firmware/classroom.yml", "hostname: Pi 07\n")
    card.boot()
    assert not starts_at_boot(card), "an invalid file must not be read again until it changes"
    (card.root / "boot/firmware/classroom.yml").unlink()
    assert starts_at_boot(card)
    card.boot()
    assert not starts_at_boot(card)


# ---------------------------------------------------------------------------------------------------------------------
# classroom.yml


def new_key(folder: Path) -> str:
    """Generate an SSH key pair, and return the public key."""
    folder.mkdir(exist_ok=True)
    key = folder / f"key{len(list(folder.iterdir()))}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "you@desk", "-f", key], check=True)
    return key.with_name(f"{key.name}.pub").read_text().strip()


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC0x5mCmPp4oJ4ojY9ZQmVQ4f4mMd3aJ0Z6kq9c1mU0d you@desk"
ALL = """
hostname: pi07
timezone: Europe/Berlin
password: "sunflower7"
account_password: 'it''s only: mine #1'
wifi:
  country: NO
  networks:
    - name: IEEE
      password: "password"
    - name: Grün & "quoted"
      password: ""
      hidden: yes
ssh_keys:
  - {key}
"""


def assert_all_applied(card: Card) -> None:
    assert card.error == ""
    assert card.read("etc/hostname") == "pi07\n"
    assert card.read("etc/hosts").splitlines()[1] == "127.0.1.1\tpi07"
    assert str((card.root / "etc/localtime").readlink()) == "../usr/share/zoneinfo/Europe/Berlin"
    assert opens_notebooks(card, "sunflower7")
    assert opens_account(card, "it's only: mine #1")
    assert card.fact("Notebooks") == "http://pi07.local:8888"
    assert card.fact("Password") == card.fact("Account password") == "the one in classroom.yml"
    wifi = card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    assert (card.root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").stat().st_mode & 0o777 == 0o600
    assert "country=NO\n" in wifi, "NO is Norway"
    # Test vector from IEEE 802.11i, annex H.4.
    assert "\tpsk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e\n" in wifi
    ssid = 'Grün & "quoted"'.encode().hex()
    assert f"\tssid={ssid}\n\tkey_mgmt=NONE\n\tscan_ssid=1\n" in wifi
    keys = card.root / "home/pi/.ssh/authorized_keys"
    assert keys.read_text().splitlines() == [PUBLIC]
    assert (keys.stat().st_mode & 0o777, keys.stat().st_uid, keys.stat().st_gid) == (0o600, 1000, 1000)
    assert (keys.parent.stat().st_mode & 0o777, keys.parent.stat().st_uid) == (0o700, 1000)
    assert card.read("etc/ssh/sshd_config.d/10-mynn-pi.conf") == (SYSTEM / "files/sshd.conf").read_text()


def test_a_wifi_key_may_stand_for_the_password(card: Card) -> None:
    key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    card.boot(ALL.partition("ssh_keys")[0].replace('"password"', f'"{key}"'))
    assert card.error == ""
    assert f"\tpsk={key}\n" in card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")


@as_root
@pytest.mark.parametrize("first", [True, False], ids=["at the first boot", "later"])
def test_all_settings_are_applied(card: Card, first: bool) -> None:
    if not first:
        card.boot()
    card.boot(ALL.format(key=PUBLIC))
    assert_all_applied(card)
    before = card.files()
    card.boot()
    changed = {path for path, file in card.files().items() if file != before[path]}
    assert not changed & {"home/pi/.ssh/authorized_keys", "etc/wpa_supplicant/wpa_supplicant-wlan0.conf", "etc/hosts"}


@as_root
@pytest.mark.parametrize(
    "save",
    [
        lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
        lambda text: text.rstrip("\n").encode(),
    ],
    ids=["Notepad", "Notepad, Unicode", "no last line end"],
)
def test_any_editor_may_save_the_file(card: Card, save: Callable[[str], bytes]) -> None:
    card.boot(save(ALL.format(key=PUBLIC)))
    assert_all_applied(card)


@as_root
def test_the_file_on_the_card_is_valid_with_its_settings_uncommented(card: Card) -> None:
    text = re.sub(r"^#(?! )|^#(?=  +\S+:|  +-)", "", card.read("boot/firmware/classroom.yml"), flags=re.M)
    example = re.compile(r"ssh-ed25519 .*Example.*")
    assert example.search(text)
    new = ("req", "-x509", "-newkey", "ed25519", "-noenc", "-subj", "/CN=school", "-keyout", "/dev/null")
    authority = subprocess.run(["openssl", *new], capture_output=True, check=True).stdout
    card.write("boot/firmware/school-ca.pem", authority)
    card.boot(example.sub(PUBLIC, text))
    assert card.error == ""
    assert card.read("etc/hostname") == "pi07\n"
    assert opens_account(card, "a longer one for me")
    assert card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf").count("ssid=4") == 4


@as_root
def test_keys_are_added_to_existing_ones(card: Card, tmp_path: Path) -> None:
    there, new = new_key(tmp_path / "keys"), new_key(tmp_path / "keys")
    card.write("home/pi/.ssh/authorized_keys", f"# of old\n{there}\n")
    card.boot(f"ssh_keys:\n  - {new}\n  - {there.rsplit(' ', 1)[0]} another comment\n")
    assert card.read("home/pi/.ssh/authorized_keys") == f"# of old\n{there}\n{new}\n"


@as_root
def test_settings_that_are_not_given_stay_unchanged(card: Card) -> None:
    card.boot(ALL.format(key=PUBLIC))
    card.write("etc/hostname", "named-by-site\n")
    card.boot("timezone: Europe/Paris\n")
    assert card.read("etc/hostname") == "named-by-site\n"
    assert opens_notebooks(card, "sunflower7")
    assert (card.root / "etc/localtime").readlink().match("Europe/Paris")


PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUA\n-----END OPENSSH PRIVATE KEY-----"
NETWORK = "wifi:\n  country: GB\n  networks:\n    - name: School\n"
BAD: dict[str, tuple[str | bytes, int, str]] = {
    "unknown": ("hostnme: pi07\n", 1, "there is no setting 'hostnme'. Did you mean hostname?"),
    "unknown, far off": ("colour: red\n", 1, "The settings here are: hostname, timezone, password"),
    "twice": ("hostname: a\nhostname: b\n", 2, "hostname is there twice"),
    "empty": ("hostname:\n", 1, "hostname has no value"),
    "tab": ("wifi:\n\tcountry: GB\n", 2, "there is a tab in this line"),
    "no space": ("hostname:pi07\n", 1, "after hostname, write a colon and a space: hostname: pi07"),
    "equals": ("# ours\nhostname = pi07\n", 2, "after hostname, write a colon"),
    "no name": ("pi07\n", 1, "this is not a setting. Write NAME: VALUE, such as hostname: pi07"),
    "a list": ("- hostname: pi07\n", 1, "this is not a setting"),
    "space before": (" hostname: pi07\ntimezone: Europe/London\n", 2, "Check the spaces at their start"),
    "name with spaces": ("hostname: my pi\n", 1, "a name cannot have spaces"),
    "name with underscore": ("hostname: my_pi\n", 1, "use a hyphen"),
    "name with capitals": ("hostname: Pi07\n", 1, "cannot have capitals"),
    "name with .local": ("hostname: pi07.local\n", 1, ".local is added automatically"),
    "name with a hyphen at its end": ("hostname: pi-\n", 1, "cannot begin or end with a hyphen"),
    "long name": (f"hostname: {'a' * 64}\n", 1, "at most 63 characters"),
    "localhost": ("hostname: localhost\n", 1, "every computer's name for itself"),
    "name with an umlaut": ("hostname: grün\n", 1, "only have letters from a to z"),
    "name that is a list": ("hostname: [a, b]\n", 1, "hostname is a single value"),
    "city only": ("timezone: Berlin\n", 1, "there is no time zone 'Berlin'. Did you mean Europe/Berlin?"),
    "zone misspelt": ("timezone: Europe/Londn\n", 1, "Did you mean Europe/London?"),
    "zone that leads elsewhere": ("timezone: ../../../etc/passwd\n", 1, "there is no time zone"),
    "zone that is a folder": ("timezone: Europe\n", 1, "there is no time zone 'Europe'"),
    "password of digits": ("password: 12345678\n", 1, 'between quotation marks: "12345678"'),
    "password of digits, octal": ("password: 0123456701\n", 1, "put a password of digits"),
    "short password": ('password: "abc"\n', 1, "this password has 3 characters; it must have 8 to 64"),
    "no password": ('password: ""\n', 1, "password has no value"),
    "password with a comment": ("password: sunflower #7\n", 1, "what follows # is ignored"),
    "a book's quotation marks": ("password: “sunflower7”\n", 1, "these are curly quotation marks"),
    "backslash": ('password: "sun\\flower\\q7"\n', 1, "Use single ones"),
    "open quotation mark": ('hostname: pi07\npassword: "sunflower7\n', 2, "a quotation mark is missing"),
    "a password of lines": ("password: |\n  sunflower7\n  sunflower8\n", 1, "one line of letters"),
    "a private key": (f"ssh_keys:\n  - {PRIVATE}\n", 2, "this is a private key, which nobody but you may have"),
    "half a key": (f"ssh_keys:\n  - {PUBLIC[:50]}\n", 2, "not a public SSH key, or not all of it"),
    "one key, no list": (f"ssh_keys: {PUBLIC}\n", 1, "ssh_keys is a list"),
    "no network": ("wifi:\n  country: GB\n", 2, "wifi has no networks"),
    "no country": (
        NETWORK.replace("  country: GB\n", "") + '      password: "12345678"\n',
        2,
        "wifi needs the country",
    ),
    "UK": (NETWORK.replace("GB", "UK") + '      password: "12345678"\n', 2, "two capitals, such as GB"),
    "country in small letters": (NETWORK.replace("GB", "de") + '      password: "12345678"\n', 2, "such as DE"),
    "a country's name": (NETWORK.replace("GB", "Germany") + '      password: "12345678"\n', 2, "not a country code"),
    "a network without password": (NETWORK, 4, 'If it is open to everybody, write password: ""'),
    "a network's short password": (NETWORK + "      password: short\n", 5, "8 to 63 characters; this one has 5"),
    "a network's long password": (NETWORK + f"      password: {'x' * 64}\n", 5, "this one has 64"),
    "a network's password of digits": (NETWORK + "      password: 12345678\n", 5, "between quotation marks"),
    "a network's unknown setting": (NETWORK + "      pasword: abcdefgh\n", 5, "Did you mean password?"),
    "a long network": (NETWORK.replace("School", "ä" * 17) + '      password: ""\n', 4, "at most 32"),
    "hidden or not": (NETWORK + '      password: ""\n      hidden: perhaps\n', 6, "hidden is yes or no"),
    "networks that is no list": ("wifi:\n  country: GB\n  networks: School\n", 3, "networks is a list"),
    "wifi that is a word": ("wifi: School\n", 1, "this is not a setting of wifi"),
    "not UTF-8": ("# Grüße\nhostname: pi07\n".encode("cp1252"), 1, "choose Save as, and Encoding: UTF-8"),
    "zeros": (b"hostname: pi07\n" + bytes(20), 2, "there is a mistake in this line"),
    "far too long": (b"#" * 70_000, 1, "far too long"),
}


@pytest.mark.parametrize(("text", "line", "sentence"), BAD.values(), ids=BAD)
def test_a_mistake_is_explained_and_nothing_is_applied(
    card: Card, text: str | bytes, line: int, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    card.boot(text)
    lines = card.error.split("\r\n")
    assert lines[0] == "classroom.yml has 1 mistake, so none of it was applied.", card.error
    assert lines[2].startswith(f"Line {line}: ")
    assert sentence in lines[2]
    assert "\n" not in card.error.replace("\r\n", "")
    assert_complete(card)  # with defaults
    assert "12345678" not in capfd.readouterr().err, "a password is in the journal"
    card.boot("timezone: Europe/London\n")
    assert card.error == ""


def test_all_mistakes_are_reported_at_once_and_nothing_is_changed(card: Card) -> None:
    card.boot('hostname: pi07\npassword: "sunflower7"\n')
    before = card.files()
    card.boot("hostname: Pi\ntimezone: Berlin\npassword: 12345678\nwifi:\n  country: UK\nssh_keys:\n  - nonsense\n")
    assert [line.partition(":")[0] for line in card.error.splitlines() if line.startswith("Line")] == [
        f"Line {number}" for number in (1, 2, 3, 5, 7)
    ]
    assert "Until then, the Pi stays as it was." in card.error
    assert "12345678" not in card.error.replace('"12345678"', ""), "only the example may contain it"
    changed = {path for path, file in card.files().items() if file != before.get(path)}
    own = {"boot/firmware/classroom.yml", "boot/firmware/classroom-error.txt", "var/lib/mynn-pi/applied"}
    assert changed == own


# ---------------------------------------------------------------------------------------------------------------------
# this-pi.txt


def announce(card: Card) -> None:
    environment = os.environ | {"MYNN_ROOT": str(card.root)}
    subprocess.run(["/bin/sh", ANNOUNCE], env=environment, check=True)


def test_it_is_written_only_if_something_changed(card: Card) -> None:
    card.boot()
    before = card.files()
    announce(card)
    assert card.files() == before
    settings = {"python_venv": "/opt/mynn/venv", "jupyter_port": 8889, "jupyter_https": True}
    card.write("etc/systemd/system/jupyter.service", render_template("jupyter.service", **settings))
    card.write("etc/jupyter/jupyter_server_config.py", render_template("jupyter_server_config.py", **settings))
    announce(card)
    assert card.fact("Notebooks").startswith("https://mynn-")
    assert card.fact("Notebooks").endswith(".local:8889")
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    assert all(address in card.fact("By address") for address in addresses)


def test_with_several_students_it_has_the_first_ones_port(card: Card) -> None:
    """The role jupyter then creates sockets, and removes the only student's unit."""
    card.boot()
    for unit in ("jupyter-9002@ada", "jupyter-9001@student", "jupyter-10000@ben"):
        card.write(f"etc/systemd/system/{unit}.socket", "[Socket]\n")
    announce(card)
    assert card.fact("Notebooks").endswith(".local:9001")


def test_the_host_key_is_shown_in_the_file_and_on_the_screen(card: Card) -> None:
    """It can then be compared at the first login."""
    card.boot()
    key = card.root / "etc/ssh/ssh_host_ed25519_key.pub"
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert card.fact("SSH host key") == f"{fingerprint.split()[1]} (ED25519)"
    assert card.read("etc/issue.d/mynn-pi-host-key.issue") == f"SSH host key: {fingerprint.split()[1]} (ED25519)\n"


CONNECTED = "wlan0: CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:00:01 completed\n"
EAP_FAILED = "wlan0: CTRL-EVENT-EAP-FAILURE EAP authentication failed\n"
CERT_ERROR = "wlan0: CTRL-EVENT-EAP-TLS-CERT-ERROR reason=1 depth=1 subject='/CN=a' err='self-signed certificate'\n"
JOURNALS = {
    "": "not connected: no network of classroom.yml is in reach",
    "wlan0: Trying to associate with SSID 'School'\n": "not connected: the network is in reach, but does not let it in",
    'wlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="School" auth_failures=1 duration=10 reason=WRONG_KEY\n': (
        "not connected: the password is wrong"
    ),
    EAP_FAILED: "not connected: the school refused identity, password or certificate",
    CERT_ERROR + EAP_FAILED: "not connected: the server's certificate is not from ca_certificate",
    CERT_ERROR.replace("self-signed certificate", "Domain suffix mismatch") + EAP_FAILED: (
        "not connected: the server's name does not end in domain"
    ),
    EAP_FAILED + CONNECTED: "connected, but the network gave it no address",
    CONNECTED + EAP_FAILED: "not connected: the school refused identity, password or certificate",
}


@pytest.mark.parametrize(("journal", "state"), JOURNALS.items())
def test_the_state_of_wifi_is_told(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str, state: str
) -> None:
    card.boot()
    assert card.fact("Wi-Fi") == "this Pi has none, or it was not on yet"
    card.write("sys/class/net/wlan0/address", "b8:27:eb:12:34:56\n")
    announce(card)
    assert card.fact("Wi-Fi") == "no network is set in classroom.yml (hardware address b8:27:eb:12:34:56)"
    card.write("etc/wpa_supplicant/wpa_supplicant-wlan0.conf", "")
    # Fake programs that print what is in a file.
    (tmp_path / "bin").mkdir()
    for program in ("journalctl", "ip"):
        (tmp_path / program).write_text(journal if program == "journalctl" else "")
        (tmp_path / "bin" / program).write_text(f"#!/bin/sh\ncat '{tmp_path / program}'\n")
        (tmp_path / "bin" / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    announce(card)
    assert card.fact("Wi-Fi") == f"{state} (hardware address b8:27:eb:12:34:56)"
    (tmp_path / "ip").write_text("3: wlan0    inet 192.168.1.52/24 scope global wlan0\n")
    announce(card)
    assert card.fact("Wi-Fi") == "connected (hardware address b8:27:eb:12:34:56)"


def test_a_password_is_shown_until_it_is_changed(card: Card) -> None:
    card.boot()
    account = card.fact("Account password")
    card.write("etc/jupyter/password", "argon2:written by site.yml\n")
    announce(card)
    assert card.fact("Password").startswith("was changed later, by site.yml")
    assert card.fact("Account password") == account
    card.write("etc/shadow", card.read("etc/shadow").replace("pi:$", "pi:$$"))
    announce(card)
    assert card.fact("Account password").startswith("was changed later")
    card.boot('password: "sunflower7"\n')
    assert card.fact("Password") == "the one in classroom.yml"
    assert card.fact("Account password").startswith("was changed later")


def test_a_new_password_keeps_the_certificate(card: Card) -> None:
    """On a Pi on which site.yml has set up HTTPS."""
    card.boot()
    card.write("etc/jupyter/password", "argon2:written by site.yml\n-----BEGIN PRIVATE KEY-----\nof the Pi\n")
    card.boot('password: "sunflower7"\n')
    first, rest = card.read("etc/jupyter/password").split("\n", 1)
    assert first.startswith("argon2:$argon2id$")
    assert rest == "-----BEGIN PRIVATE KEY-----\nof the Pi\n"
    assert card.fact("Password") == "the one in classroom.yml"


def test_a_deleted_file_is_written_again_without_the_passwords(card: Card) -> None:
    card.boot()
    (card.root / "boot/firmware/this-pi.txt").unlink()
    announce(card)
    assert card.fact("Password").startswith("no longer known")


# ---------------------------------------------------------------------------------------------------------------------
# The other files


def test_systemd_accepts_the_units() -> None:
    units = sorted((TREE / "etc/systemd/system").glob("mynn-*.service"))
    assert len(units) == 4
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{TREE / 'etc/systemd/system'}:/usr/lib/systemd/system"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "mynn-" in line]
    assert ours == [], done.stderr


def test_udev_accepts_the_rules() -> None:
    if not shutil.which("udevadm"):
        pytest.skip("udev is not installed: apt-get install udev")
    command = ["udevadm", "verify", str(TREE / "etc/udev/rules.d/80-mynn-pi.rules")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown command verb" in done.stderr:
        pytest.skip("this udev cannot verify rules; Debian 13's can")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("serial", ["00000000a1b2c3d4", ""])
def test_the_gadgets_addresses_are_unique_and_stable(serial: str, tmp_path: Path) -> None:
    # A fake modprobe that prints its arguments.
    (tmp_path / "bin").mkdir()
    modprobe = tmp_path / "bin/modprobe"
    modprobe.write_text('#!/bin/sh\necho "$*"\n')
    modprobe.chmod(0o755)

    def modprobe_arguments(card: Card) -> str:
        environment = {"PATH": f"{modprobe.parent}:{os.environ['PATH']}", "MYNN_ROOT": str(card.root)}
        script = ["/bin/sh", str(PROGRAM.with_name("usb_gadget.sh"))]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
        return str(done.stdout)

    card, other = Card(tmp_path / "card", serial), Card(tmp_path / "other")
    address = "b2:c3:d4" if serial else "(?:[0-9a-f]{2}:){2}[0-9a-f]{2}"
    found = re.fullmatch(rf"g_ether dev_addr=02:6d:79:({address}) host_addr=06:6d:79:(.*)\n", modprobe_arguments(card))
    assert found
    assert found[1] == found[2]
    assert modprobe_arguments(card) == modprobe_arguments(card) != modprobe_arguments(other)


# ---------------------------------------------------------------------------------------------------------------------
# The root grows


class Disk:
    """A card of 64 MiB, as a loop device; its second partition, the root, has 20 MiB."""

    def __init__(self, folder: Path) -> None:
        self.file, self.root = folder / "card.img", folder / "root"
        self.root.mkdir()
        self.file.touch()
        os.truncate(self.file, 64 << 20)
        table = "label: dos\nlabel-id: 0x6d796e6e\nstart=2048,size=16384,type=c\nstart=18432,size=40960,type=83\n"
        subprocess.run(["sfdisk", "--quiet", self.file], input=table, text=True, check=True)
        self.loop = self.output_of("losetup", "--find", "--show", str(self.file))
        self.name = Path(self.loop).name
        self.partition = Path(f"{self.loop}p2")
        self.made_node = False
        try:
            # Not --add: that fails if somebody who used this loop device before has left partitions.
            subprocess.run(["partx", "--update", self.loop], check=True, capture_output=True)
            if not self.partition.exists():  # without udev
                major, minor = self.sys("dev").split(":")
                os.mknod(self.partition, 0o60600, os.makedev(int(major), int(minor)))
                self.made_node = True
            subprocess.run(["mkfs.ext4", "-q", self.partition], check=True)
            subprocess.run(["mount", self.partition, self.root], check=True)
        except BaseException:
            self.close()
            raise

    def output_of(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def sys(self, name: str) -> str:
        return Path(f"/sys/class/block/{self.name}p2/{name}").read_text().strip()

    def grow(self) -> subprocess.CompletedProcess[str]:
        script = ["/bin/sh", str(PROGRAM.with_name("grow_root.sh")), str(self.root)]
        return subprocess.run(script, capture_output=True, text=True, check=False)

    def close(self) -> None:
        subprocess.run(["umount", self.root], check=False, capture_output=True)
        subprocess.run(["partx", "--delete", self.loop], check=False, capture_output=True)
        subprocess.run(["losetup", "--detach", self.loop], check=False)
        if self.made_node:
            self.partition.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices; tests/classroom/test_board.py covers it")
    disk = Disk(tmp_path)
    yield disk
    disk.close()


def can_resize() -> bool:
    """Return whether this process may grow a mounted file system: CAP_SYS_RESOURCE, bit 24."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> 24 & 1)


@pytest.mark.parametrize("cut", ["never", "before the kernel knew"])
def test_the_partition_grows_to_the_cards_end(disk: Disk, cut: str) -> None:
    if cut != "never":
        command = ["sfdisk", "--quiet", "--force", "--no-reread", "--no-tell-kernel", "-N", "2", disk.loop]
        subprocess.run(command, input=", +", text=True, check=True)
    disk.grow()  # the next test covers the file system
    table = disk.output_of("sfdisk", "--dump", disk.loop)
    assert "label-id: 0x6d796e6e" in table
    assert re.search(r"p1 : start= +2048, size= +16384, type=c", table)
    assert re.search(r"p2 : start= +18432, size= +112640, type=83", table)
    assert int(disk.sys("size")) == 112640


@pytest.mark.skipif(
    not can_resize(), reason="this container cannot grow a mounted file system; tests/classroom/test_board.py covers it"
)
def test_the_file_system_grows_once(disk: Disk) -> None:
    assert disk.grow().returncode == 0
    found = os.statvfs(disk.root)
    assert found.f_blocks * found.f_frsize > 45 << 20
    before = disk.file.read_bytes()
    done = disk.grow()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert disk.file.read_bytes() == before
