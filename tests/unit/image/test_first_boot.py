"""The first boot, with folders as cards: the real program, with ssh-keygen, chpasswd, openssl and argon2."""

import ctypes
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import argon2
import pytest

from tests.unit.image.card import CONF, SETTINGS, SYSTEM, TREE, Card, first_boot
from tests.unit.image.test_preseed import IMAGER, KEY, PUBLIC, YESCRYPT

HOST_KEYS = ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
ANOTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICtg8TFATI7pOSSUNkxV9rVHo5+/hRTpd1Z12tmU8XpW teacher@laptop"


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


def test_each_of_several_students_gets_a_password_and_a_line(card: Card) -> None:
    """Given ones are those of `make cards`; one for all is typed by hand."""
    for socket in ("jupyter-8889@ada-l", "jupyter-8888@ben", "sockets.target.wants/jupyter-8888@ben"):
        card.write(f"etc/systemd/system/{socket}.socket", "[Socket]\n")
    card.boot('[system]\nhostname = "class"\n[mynn]\npassword = "of-image1"\n[mynn.passwords]\nada-l = "marigold7"\n')
    assert opens_notebooks(card, "marigold7", "etc/jupyter/password-ada-l")
    assert card.fact("ada-l") == "http://class.local:8889  password: the one that you chose"
    address, _, password = card.fact("ben").rpartition(" ")
    assert (address, card.fact("Notebooks")) == ("http://class.local:8888  password:", "http://class.local:8888")
    assert re.fullmatch("[a-hjkmnp-z2-9]{10}", password)
    assert opens_notebooks(card, password, "etc/jupyter/password-ben")
    assert not (card.root / "etc/jupyter/password").exists()
    assert card.error == ""
    before = card.files()
    card.boot()
    card.announce()
    assert card.files() == before
    card.boot('[mynn.passwords]\nada-l = "short"\neve = "marigold7"\n"../x" = "marigold7"\n')
    for line in ("ada-l: a password has 8 to 64", "eve: this Pi does not have", "../x: this Pi does not have"):
        assert f"[mynn.passwords] {line}" in card.error
    assert sorted(path.name for path in (card.root / "etc/jupyter").iterdir()) == ["password-ada-l", "password-ben"]
    assert opens_notebooks(card, "marigold7", "etc/jupyter/password-ada-l")
    assert card.fact("ben").endswith(f" {password}")
    card.boot('[mynn]\npassword = "sunflower7"\n')
    assert all(opens_notebooks(card, "sunflower7", f"etc/jupyter/password-{name}") for name in ("ada-l", "ben"))
    card.write("etc/jupyter/password-ben", "argon2:written by site.yml\n")
    card.announce()
    assert card.fact("ben").startswith("http://class.local:8888  password: was changed later")
    assert card.fact("ada-l").endswith("the one that you chose")


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


@pytest.mark.root
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
@pytest.mark.root
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


@pytest.mark.root
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


@pytest.mark.root
def test_what_is_wrong_is_left_out_by_name_in_this_pi_txt(card: Card, capfd: pytest.CaptureFixture[str]) -> None:
    card.boot(ALL.replace('"Pi07"', '"pi07-"').replace("Europe/Berlin", "Berlin"))
    first, *wrong, last = card.error.removesuffix("\r\n").split("\r\n")
    assert first == "rpi-preseed.toml was applied, except for this:"
    assert sorted(line.partition(":")[0] for line in wrong) == ["[locale] timezone", "[system] hostname"]
    assert last.startswith("Set it again in rpi-preseed.toml on this card")
    assert f"\r\n\r\n{card.error}\r\nThe first password" in card.read("boot/firmware/this-pi.txt")
    assert card.fact("Name").startswith("mynn-")
    assert card.read(CONF).count("network={") == 4
    assert opens_notebooks(card, "marigold7")
    assert not starts_at_boot(card), "passwords would stay on the card"
    assert "marigold7" not in card.error + capfd.readouterr().err


def test_a_file_that_cannot_be_read_stays_to_be_corrected(card: Card) -> None:
    text = '[system]\nhostname = "pi07\n'
    card.boot(text)
    assert card.error.startswith("Nothing in rpi-preseed.toml was applied:\r\nline 2: check the quotation marks")
    assert card.read(SETTINGS) == text
    assert starts_at_boot(card)
    os.truncate(card.root / SETTINGS, 1 << 40)  # more than the memory
    card.boot()
    assert "the file is far too long" in card.error
    card.boot('[connect]\nenabled = true\n[system]\nhostname = "pi07"\n')
    assert card.read("etc/hostname") == "pi07\n"
    assert card.error.startswith("rpi-preseed.toml was applied, except for this:\r\n[connect] enabled: ")
    assert not starts_at_boot(card)
    card.boot('[locale]\ntimezone = "Europe/Berlin"\n')
    assert card.error == ""
