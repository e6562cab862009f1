"""The first boot of a card that Raspberry Pi Imager customised, with folders as cards.

The files are as Imager writes them, by its sources at commit 72ad1179ff46 (August 2026, after 2.0.11.1) and at tag
v1.9.6: src/customization_generator.cpp and src/downloadthread.cpp, or src/OptionsPopup.qml. The format of
rpi-preseed.toml is that of raspberrypi/rpi-preseed at commit 64c298606e5b.
"""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import load
from tests.unit.image.test_first_boot import (
    ALL,
    PRIVATE,
    PROGRAM,
    PUBLIC,
    TREE,
    Card,
    as_root,
    assert_complete,
    crypt,
    cut_boot,
    opens_account,
    opens_notebooks,
    starts_at_boot,
)

# Test vector from IEEE 802.11i, annex H.4: the key of the network "IEEE" with the password "password".
KEY = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
SHA256 = crypt("sunflower8", "$5$abcdefghij")
YESCRYPT = crypt("sunflower8", "$y$j9T$abcdefghijklmnop")
GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-run-generator")
MANAGER = Path("/usr/lib/systemd/systemd")
RUN = "systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot systemd.unit=kernel-command-line.target"

PRESEED = f"""config_version = "1.0"

[system]
hostname = "Pi07"

[user]
name = "teacher"
password = "{YESCRYPT}"
password_encrypted = true
groups = ["sudo"]

[ssh]
enabled = true
password_authentication = false
authorized_keys = [
  "{PUBLIC}",
]

[wlan]
ssid = "IEEE"
password = "{KEY}"
password_encrypted = true
hidden = true
country = "NO"

[locale]
keymap = "gb"
timezone = "Europe/Berlin"
"""
# Imager 1 writes these onto an image that it does not know.
USER_DATA = f"""#cloud-config
hostname: Pi07
manage_etc_hosts: true
packages:
- avahi-daemon
apt:
  conf: |
    Acquire {{
      Check-Date "false";
    }};

users:
- name: teacher
  groups: users,adm,dialout,audio,netdev,video,plugdev,cdrom,games,input,gpio,spi,i2c,render,sudo
  shell: /bin/bash
  lock_passwd: false
  passwd: {YESCRYPT}
  ssh_authorized_keys:
    - {PUBLIC}
  sudo: ALL=(ALL) NOPASSWD:ALL

timezone: Europe/Berlin
keyboard:
  model: pc105
  layout: "gb"
"""
NETWORK_CONFIG = f"""version: 2
wifis:
  renderer: networkd
  wlan0:
    dhcp4: true
    optional: true
    access-points:
      "IEEE":
        password: "{KEY}"
        hidden: true
"""
# Imager 2 writes the same in this way, if a repository file says cloudinit.
USER_DATA_2 = f"""#cloud-config
manage_resolv_conf: false

hostname: pi07
manage_etc_hosts: true
packages:
- avahi-daemon
apt:
  preserve_sources_list: true
timezone: Europe/Berlin
keyboard:
  model: pc105
  layout: "gb"
user:
  name: teacher
  shell: /bin/bash
  lock_passwd: false
  passwd: "{YESCRYPT}"
  ssh_authorized_keys:
    - "{PUBLIC}"
  sudo: null
ssh_pwauth: false
runcmd:
  - [ systemctl, enable, --now, ssh ]
"""
NETWORK_CONFIG_2 = f"""network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
      dhcp6: true
      optional: true
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "NO"
      access-points:
        "IEEE":
          hidden: true
          password: "{KEY}"
      optional: true
"""
FIRSTRUN = f"""#!/bin/bash

set +e

CURRENT_HOSTNAME=`cat /etc/hostname | tr -d " \\t\\n\\r"`
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom set_hostname Pi07
else
   echo Pi07 >/etc/hostname
fi
FIRSTUSER=`getent passwd 1000 | cut -d: -f1`
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom enable_ssh -k '{PUBLIC}'
else
   systemctl enable ssh
fi
if [ -f /usr/lib/userconf-pi/userconf ]; then
   /usr/lib/userconf-pi/userconf 'teacher' '{YESCRYPT}'
else
   echo "$FIRSTUSER:"'{YESCRYPT}' | chpasswd -e
fi
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom set_wlan  -h 'IEEE' '{KEY}' 'NO'
else
cat >/etc/wpa_supplicant/wpa_supplicant.conf <<'WPAEOF'
country=NO
WPAEOF
fi
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom set_keymap 'gb'
   /usr/lib/raspberrypi-sys-mods/imager_custom set_timezone 'Europe/Berlin'
fi
rm -f /boot/firstrun.sh
sed -i 's| systemd.run.*||g' /boot/cmdline.txt
exit 0
"""
CUSTOM = PRESEED.replace('config_version = "1.0"', "config_version = 1").replace('groups = ["sudo"]\n', "")
FILES: dict[str, dict[str, str]] = {
    "Imager 2.0.11": {"rpi-preseed.toml": PRESEED, "cmdline.txt": "quiet cfg80211.ieee80211_regdom=NO"},
    "Imager 1": {
        "user-data": USER_DATA,
        "network-config": NETWORK_CONFIG,
        "cmdline.txt": "quiet cfg80211.ieee80211_regdom=NO\n",
    },
    "Imager 2, cloud-init": {
        "user-data": USER_DATA_2,
        "network-config": NETWORK_CONFIG_2,
        "meta-data": "instance-id: rpi-imager-1\n",
    },
    "Imager 1, Raspberry Pi OS": {"firstrun.sh": FIRSTRUN, "cmdline.txt": f"quiet {RUN}\n"},
    "custom.toml": {"custom.toml": CUSTOM.replace("\n", "\r\n")},
}


@pytest.fixture
def card(tmp_path: Path) -> Card:
    card = Card(tmp_path / "card")
    card.write("etc/group", "root:x:0:\nnetdev:x:105:pi,other\npi:x:1000:\n")
    card.write("etc/gshadow", "netdev:!::pi,other\npi:!::\n")
    card.write("etc/subuid", "pi:100000:65536\n")
    card.write("etc/sudoers.d/010_pi-nopasswd", "pi ALL=(ALL) NOPASSWD: ALL\n")
    (card.root / "etc/shadow").chmod(0o640)
    (card.root / "etc/default").mkdir()
    return card


def put(card: Card, **files: str | bytes) -> None:
    """Write files to the boot partition."""
    for name, content in files.items():
        card.write(f"boot/firmware/{name}", content)


def boot(card: Card, content: str | bytes, settings: str = "", file: str = "rpi-preseed.toml") -> None:
    """Start a card with one file of Imager's, and this classroom.yml."""
    put(card, **{file: content})
    card.boot(settings)


def left(card: Card) -> set[str]:
    """Return which of Imager's files are still on the card."""
    ours = {"classroom.yml", "classroom-error.txt", "this-pi.txt", "cmdline.txt", "meta-data"}
    return {path.name for path in (card.root / "boot/firmware").iterdir()} - ours


def assert_applied(card: Card) -> None:
    """All of the settings above."""
    assert card.read("etc/hostname") == "pi07\n"
    assert str((card.root / "etc/localtime").readlink()) == "../usr/share/zoneinfo/Europe/Berlin"
    assert 'XKBLAYOUT="gb"\n' in card.read("etc/default/keyboard")
    wifi = card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    assert wifi.split("network={\n")[1] == f"\tssid={b'IEEE'.hex()}\n\tpsk={KEY}\n\tscan_ssid=1\n}}\n"
    assert "country=NO\n" in wifi
    assert card.read("etc/passwd").splitlines()[1] == "teacher:x:1000:1000::/home/teacher:/bin/bash"
    assert card.read("etc/group") == "root:x:0:\nnetdev:x:105:teacher,other\nteacher:x:1000:\n"
    assert card.read("etc/gshadow") == "netdev:!::teacher,other\nteacher:!::\n"
    assert card.read("etc/subuid") == "teacher:100000:65536\n"
    assert re.fullmatch(r"root:.*\nteacher:\$y\$.*\n", card.read("etc/shadow"))
    assert (card.root / "etc/shadow").stat().st_mode & 0o777 == 0o640
    assert crypt("sunflower8", YESCRYPT) == card.read("etc/shadow").split("teacher:")[1].split(":")[0]
    rules = {path.name: path for path in (card.root / "etc/sudoers.d").iterdir()}
    assert list(rules) == ["010_teacher-nopasswd"]
    assert rules["010_teacher-nopasswd"].read_text() == "teacher ALL=(ALL) NOPASSWD: ALL\n"
    assert stat.S_IMODE(rules["010_teacher-nopasswd"].stat().st_mode) == 0o440
    keys = card.root / "home/teacher/.ssh/authorized_keys"
    assert keys.read_text() == f"{PUBLIC}\n"
    assert keys.stat().st_uid == 1000
    assert not (card.root / "home/pi").exists()
    assert "PasswordAuthentication no" in card.read("etc/ssh/sshd_config.d/10-mynn-pi.conf")
    assert card.fact("Account") == "teacher"
    assert card.fact("Account password") == "the one that was chosen in Raspberry Pi Imager"
    assert card.fact("Over SSH") == "ssh teacher@pi07.local"
    assert opens_notebooks(card, card.fact("Password")), "Imager has none for the notebooks, so the card makes one"


@as_root
@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_the_settings_of_each_imager_are_applied_once(card: Card, files: dict[str, str]) -> None:
    put(card, **files)
    card.boot()
    assert_applied(card)
    assert left(card) == set(), "they hold a password and a Wi-Fi key, and would be applied again"
    if "runcmd" in files.get("user-data", ""):
        assert "user-data, runcmd: this card does not have such settings." in card.error
    else:
        assert card.error == ""
    assert not starts_at_boot(card)
    before = card.files()
    card.boot('password: "sunflower7"\n')
    changed = {path for path, file in card.files().items() if file != before.get(path)}
    assert not changed & {"etc/hostname", "etc/wpa_supplicant/wpa_supplicant-wlan0.conf", "etc/passwd"}
    assert_applied_later = card.fact("Account password")
    assert assert_applied_later == "the one that was chosen in Raspberry Pi Imager"


@as_root
@pytest.mark.parametrize("hashed", [SHA256, crypt("sunflower8", "$6$abcdefgh")], ids=["SHA-256", "SHA-512"])
def test_passwords_that_older_imagers_hashed_open_the_account(card: Card, hashed: str) -> None:
    boot(card, f'[user]\nname = "pi"\npassword = "{hashed}"\npassword_encrypted = true\n')
    assert card.error == ""
    assert opens_account(card, "sunflower8")


def test_plain_passwords_are_hashed(card: Card) -> None:
    boot(
        card, '[user]\nname = "pi"\npassword = "sunflower8"\n[wlan]\nssid = "IEEE"\npassword = "password"\ncountry="GB"'
    )
    assert card.error == ""
    assert opens_account(card, "sunflower8")
    assert card.shadow().startswith("$y$")
    assert f"\tpsk={KEY}\n" in card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    places = [path for path, (_, _, content) in card.files().items() if b"sunflower8" in content]
    assert places == []


def test_an_open_network_needs_no_password(card: Card) -> None:
    boot(card, '[wlan]\nssid = "Caf\\u00e9 \\U0001F600"\nhidden = false\ncountry = "GB"\n')
    assert card.error == ""
    ssid = "Café \N{GRINNING FACE}".encode().hex()
    assert f"\tssid={ssid}\n\tkey_mgmt=NONE\n}}\n" in card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    again = NETWORK_CONFIG_2.replace(f'password: "{KEY}"', "auth:\n            key-management: none")
    boot(card, again, file="network-config")
    assert card.error == ""
    assert "\tkey_mgmt=NONE\n\tscan_ssid=1\n" in card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")


def test_a_key_of_64_digits_is_a_password_in_classroom_yml_too(card: Card) -> None:
    card.boot(f"wifi:\n  country: GB\n  networks:\n    - name: IEEE\n      password: '{KEY}'\n")
    assert card.error == ""
    assert f"\tpsk={KEY}\n" in card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")


# ---------------------------------------------------------------------------------------------------------------------
# Several files


@as_root
def test_classroom_yml_wins_and_the_error_file_says_so(card: Card) -> None:
    settings = ALL.format(key=PUBLIC).replace("pi07", "pi08").replace("Berlin", "Paris")
    boot(card, PRESEED, settings)
    assert card.read("etc/hostname") == "pi08\n"
    assert (card.root / "etc/localtime").readlink().name == "Paris"
    assert card.fact("Account") == "teacher", "classroom.yml does not set it"
    assert card.fact("Account password") == "the one in classroom.yml"
    assert card.error.split("\r\n") == [
        "This in rpi-preseed.toml was not applied:",
        "",
        *(
            f"{what}: classroom.yml sets it too, and wins."
            for what in ("The name", "The SSH keys", "The Wi-Fi", "The time zone", "The account's password")
        ),
        "",
    ]
    assert left(card) == set()
    assert not starts_at_boot(card)
    card.boot("timezone: Europe/Berlin\n")
    assert card.error == ""


def test_of_two_imagers_the_newer_wins(card: Card) -> None:
    put(card, **{"user-data": "#cloud-config\nhostname: pi01\ntimezone: Europe/Paris\n"})
    boot(card, '[system]\nhostname = "pi02"\n')
    assert card.read("etc/hostname") == "pi02\n"
    assert (card.root / "etc/localtime").readlink().name == "Paris"
    assert "This in user-data was not applied:\r\n\r\nThe name: rpi-preseed.toml sets it too" in card.error
    assert left(card) == set()


def test_one_files_mistake_does_not_stop_the_other(card: Card) -> None:
    boot(card, '[locale]\ntimezone = "Europe/Berlin"\n[system]\nhostname = "pi 7"\n', "hostname: pi08\n")
    assert card.read("etc/hostname") == "pi08\n"
    assert not (card.root / "etc/localtime").is_symlink()
    assert card.error.startswith("Nothing in rpi-preseed.toml was applied, because of this:\r\n\r\n[system] hostname: ")
    assert left(card) == {"rpi-preseed.toml"}
    assert not starts_at_boot(card), "it must not be read again until it changes"
    boot(card, '[locale]\ntimezone = "Europe/Berlin"\n', "hostname: Pi 8\n")
    assert (card.root / "etc/localtime").readlink().name == "Berlin"
    assert card.error.startswith("classroom.yml has 1 mistake, so none of it was applied.\r\n\r\nLine 1: ")
    assert "Until then, the Pi has the settings from Raspberry Pi Imager.\r\n" in card.error
    assert left(card) == set()
    card.boot("hostname: pi09\n")
    assert card.error == ""


def test_comments_of_cloud_init_stay(card: Card) -> None:
    """Raspberry Pi OS brings them."""
    put(card, **{"user-data": "#cloud-config\n\n# hostname: raspberrypi\n", "network-config": "# nothing\n"})
    card.boot()
    assert_complete(card)
    assert card.error == ""
    assert left(card) == {"user-data", "network-config"}
    assert not starts_at_boot(card)


# ---------------------------------------------------------------------------------------------------------------------
# What is not applied

LEFT_OUT = {
    "Connect and interfaces": (
        '[connect]\nenabled = true\nmode = "token"\ntoken = "secret"\n[interfaces]\ni2c = true\nspi = false\n',
        "[connect] enabled, [connect] mode, [connect] token, [interfaces] i2c: this card does not have such settings.",
    ),
    "commands": ('[runcmd]\nearly = ["rm -rf /"]\n', "[runcmd] early: this card does not have"),
    "locales": ('[locale]\nlang = "en_GB.UTF-8"\n', "[locale] lang: this card does not have"),
    "a group": ('[user]\ngroups = ["sudo", "gpio"]\n', "[user] groups: gpio: this card does not have"),
    "a loose setting": ('hostname = "pi07"\n', "hostname: this card does not have"),
    "no SSH": ("[ssh]\nenabled = false\n", "[ssh] enabled: SSH stays on"),
    "no password": ("[ssh]\npassword_authentication = false\n", "there are no keys, so SSH accepts the password"),
    "a strange name": ('[x]\n"\\u001b[31mred" = "y"\n', "[x] ?[31mred: this card"),
    "many": ("[x]\n" + "".join(f"s{number} = 1\n" for number in range(99)), "[x] s9 and 89 more: this card"),
}


@pytest.mark.parametrize(("content", "sentence"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_the_card_does_not_have_is_named_and_the_rest_applied(card: Card, content: str, sentence: str) -> None:
    boot(card, f'{content}[system]\nhostname = "pi07"\n')
    assert card.read("etc/hostname") == "pi07\n"
    assert card.error.startswith("This in rpi-preseed.toml was not applied:\r\n\r\n")
    assert sentence in card.error
    assert "secret" not in card.error
    assert left(card) == set()


@as_root
def test_a_password_for_ssh_beside_keys_is_named(card: Card) -> None:
    boot(card, f'[ssh]\npassword_authentication = true\nauthorized_keys = ["{PUBLIC}"]\n')
    assert "there are keys, so SSH accepts no passwords" in card.error


BAD_TOML: dict[str, tuple[str | bytes, str]] = {
    "not TOML": ('[system]\nhostname = "pi07\n', "Line 2: check the quotation marks"),
    "twice": ('[system]\nhostname = "a"\nhostname = "b"\n', "Line 3: check the quotation marks"),
    "deep": ("a = " + "[" * 60_000, "heck the quotation marks"),
    "a long number": (f"a = {'9' * 60_000}\n", "heck the quotation marks"),
    "binary": (random.Random(7).randbytes(2000), "his is no text in UTF-8"),
    "zeros": (bytes(2000), "Line 1: check the quotation marks"),
    "far too long": (b"#" * 70_000, "he file is far too long"),
    "another version": ('config_version = "2.0"\n[system]\nhostname = "pi07"\n', "config_version: this card knows"),
    "a number as name": ("[system]\nhostname = 7\n", "[system] hostname: this is not a text"),
    "a section as value": ("system = 7\n", "system: this is a section"),
    "a list of numbers": ("[ssh]\nauthorized_keys = [1]\n", "[ssh] authorized_keys: this is a list of texts"),
    "a word as true": ('[wlan]\nssid = "a"\nhidden = "yes"\ncountry = "GB"\n', "[wlan] hidden: this is true or false"),
    "a name with spaces": ('[system]\nhostname = "pi 7"\n', "[system] hostname: a name cannot have spaces"),
    "a name that runs": ('[system]\nhostname = "$(reboot)"\n', "can only have letters from a to z"),
    "a name of two lines": ('[system]\nhostname = "pi07\\nreboot"\n', "[system] hostname: hostname is one line"),
    "a name that is YAML": ('[system]\nhostname = "a\\"\\ntimezone: \\"Europe/Berlin"\n', "hostname is one line"),
    "no time zone": ('[locale]\ntimezone = "../../etc/passwd"\n', "[locale] timezone: there is no time zone"),
    "no layout": ('[locale]\nkeymap = "gb\\"; reboot"\n', "[locale] keymap: a keyboard layout is"),
    "an account that runs": ('[user]\nname = "a b:0:0"\n', "[user] name: an account's name has"),
    "an account that is there": ('[user]\nname = "root"\n', "The account's name: this Pi has another account"),
    "a group that is there": ('[user]\nname = "netdev"\n', "The account's name: this Pi has another account"),
    "not a hash": (
        '[user]\nname = "pi"\npassword = "$y$a:b\\nroot:x"\npassword_encrypted = true\n',
        "[user] password: this is not a hashed password",
    ),
    "a short password": ('[user]\npassword = "abc"\n', "[user] password: this password has 3 characters"),
    "a private key": (f'[ssh]\nauthorized_keys = ["""{PRIVATE}"""]\n', "[ssh] authorized_keys: this is a private key"),
    "half a key": (f'[ssh]\nauthorized_keys = ["{PUBLIC[:50]}"]\n', "not a public SSH key, or not all of it"),
    "no country": ('[wlan]\nssid = "School"\npassword = "sunflower"\n', "[wlan], the country: wifi needs the country"),
    "UK": ('[wlan]\nssid = "School"\ncountry = "UK"\n', "[wlan], the country: 'UK' is not a country code"),
    "a short Wi-Fi password": (
        '[wlan]\nssid = "School"\npassword = "abc"\ncountry = "GB"\n',
        "[wlan], the password: a Wi-Fi password has 8 to 63",
    ),
    "half a Wi-Fi key": (
        f'[wlan]\nssid = "School"\npassword = "{KEY[:50]}"\npassword_encrypted = true\ncountry = "GB"\n',
        "[wlan] password: a Wi-Fi key has 64",
    ),
    "a network in Latin-1": ('[wlan]\nssid_hex = "e9"\ncountry = "GB"\n', "[wlan] ssid_hex: this card joins only"),
    "WPA3 only": ('[wlan]\nssid = "a"\npassword = "sunflower"\nkey_mgmt = "sae"\n', "[wlan] key_mgmt: this card"),
    "a network of 40 letters": (
        f'[wlan]\nssid = "{"a" * 40}"\ncountry = "GB"\n',
        "[wlan], the network's name: the name",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_TOML.values(), ids=BAD_TOML)
def test_a_mistake_is_explained_and_nothing_of_the_file_is_applied(
    card: Card, content: str | bytes, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    boot(card, content, "timezone: Europe/Paris\n")
    assert card.error.startswith("Nothing in rpi-preseed.toml was applied, because of this:\r\n\r\n")
    assert sentence in card.error.split("\r\n")[2], card.error
    assert "\n" not in card.error.replace("\r\n", "")
    assert_complete(card)  # with defaults
    assert (card.root / "etc/localtime").readlink().name == "Paris"
    assert left(card) == {"rpi-preseed.toml"}
    secrets = ("sunflower", KEY[:50], "$y$a")
    assert not any(secret in text for secret in secrets for text in (card.error, capfd.readouterr().err))


BAD_OTHERS: dict[str, tuple[str, str, str]] = {
    "a script": ("user-data", "#!/bin/sh\nreboot\n", "user-data: its first line is not #cloud-config"),
    "broken YAML": ("user-data", "#cloud-config\nhostname: [\n", "user-data, line 3: there is a mistake"),
    "deep YAML": ("user-data", "#cloud-config\n" + "[" * 60_000, "there is a mistake"),
    "a list": ("user-data", "#cloud-config\n- a\n", "user-data: this is not a list of settings"),
    "a list as name": ("user-data", "#cloud-config\nhostname: [a]\n", "user-data, hostname: this is a single value"),
    "keys that are none": (
        "user-data",
        "#cloud-config\nuser:\n  ssh_authorized_keys: {a: b}\n",
        "this is a list of keys",
    ),
    "another hash": ("user-data", "#cloud-config\nuser: {passwd: '*'}\n", "user-data, passwd: this is not a hashed"),
    "Enterprise": (
        "network-config",
        "version: 2\nwifis:\n  wlan0:\n    access-points:\n      a:\n        auth: {key-management: eap}\n",
        "network-config, auth: this card cannot read such a network",
    ),
    "no network": ("network-config", "version: 2\nwifis: {wlan0: {dhcp4: true}}\n", "there is no network below"),
    "no country": (
        "network-config",
        "version: 2\nwifis: {wlan0: {access-points: {School: {password: sunflower}}}}\n",
        "network-config, the country: wifi needs the country",
    ),
    "another script": ("firstrun.sh", "#!/bin/sh\nreboot\n", "It has none of Imager's settings"),
    "a script that runs more": (
        "firstrun.sh",
        "/usr/lib/raspberrypi-sys-mods/imager_custom set_hostname pi07; reboot\n",
        "Line 1: this is not what Imager writes here",
    ),
    "an open quotation mark": (
        "firstrun.sh",
        "/usr/lib/userconf-pi/userconf 'pi\n",
        "Line 1: this is not what Imager writes here",
    ),
    "a name that runs": (
        "firstrun.sh",
        "/usr/lib/raspberrypi-sys-mods/imager_custom set_hostname '$(reboot)'\n",
        "Line 1: a name can only have letters",
    ),
}


@pytest.mark.parametrize(("file", "content", "sentence"), BAD_OTHERS.values(), ids=BAD_OTHERS)
def test_what_older_imagers_left_is_never_ignored(card: Card, file: str, content: str, sentence: str) -> None:
    boot(card, content, file=file)
    assert card.error.startswith(f"Nothing in {file} was applied, because of this:\r\n\r\n")
    assert sentence in card.error.split("\r\n")[2], card.error
    assert "sunflower" not in card.error
    assert_complete(card)
    assert left(card) == {file}
    assert not starts_at_boot(card)
    (card.root / "boot/firmware" / file).unlink()
    assert starts_at_boot(card)
    card.boot()
    assert card.error == ""


def damaged(text: str, rng: random.Random) -> str:
    """Return a text with a few lines or characters lost, doubled or replaced."""
    for _ in range(rng.randint(1, 4)):
        begin = rng.randrange(len(text))
        end = min(len(text), begin + rng.choice([0, 1, 1, 5, 40]))
        new = rng.choice(
            ["", text[begin:end] * 2, *'"[]{}=:#\\\0\n', "- ", "null", "[[a]]", "&a [*a]", "\ud7ff", "0x1", "1e9"]
        )
        text = text[:begin] + new + text[end:]
    return text


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_no_damage_to_a_file_stops_the_first_boot(files: dict[str, str]) -> None:
    rng, boot = random.Random(19), load(PROGRAM)
    imager = load(PROGRAM.with_name("imager.py"))
    boot.fingerprint = str  # it would start ssh-keygen for each

    def check(content: bytes) -> Any:
        return boot.Classroom(content, Path("/"))

    for _ in range(60):
        texts = {name: damaged(text, rng) for name, text in files.items() if name not in ("cmdline.txt", "meta-data")}
        contents = {name: text.encode() for name, text in texts.items()}
        applied, lines = imager.add({}, imager.read(contents, "", boot.LARGEST), check, {"root"})
        for name in contents:
            assert name in applied or any(name in line for line in lines)


def test_odd_characters_stay_in_the_networks_name(card: Card) -> None:
    """In a TOML string, and then in the settings of wpa_supplicant."""
    boot(card, "[wlan]\nssid = '\"}; $(reboot) `x` \\\\ #: ''\npassword = '\"\\ \\U0041 #: $(x)'\ncountry = 'GB'\n")
    assert "Nothing in rpi-preseed.toml" in card.error, "a quotation mark too many"
    name, password = '"}; $(reboot) `x` \\ #: -', '"\\ \\U0041 #: $(x)'
    boot(card, f"[wlan]\nssid = '{name}'\npassword = '{password}'\ncountry = 'GB'\n")
    assert card.error == ""
    wifi = card.read("etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    asked = ["wpa_passphrase", name, password]
    if shutil.which("wpa_passphrase"):
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert re.findall(r"^\tpsk=(.*)$", done.stdout, re.M) == re.findall(r"^\tpsk=(.*)$", wifi, re.M)
    assert f"\tssid={name.encode().hex()}\n" in wifi
    assert len(wifi.splitlines()) == 7


def test_a_huge_file_does_not_fill_the_memory(card: Card) -> None:
    for name in ("classroom.yml", "rpi-preseed.toml", "user-data"):
        put(card, **{name: b"#cloud-config\n"})
        os.truncate(card.root / "boot/firmware" / name, 200 << 20)
    tracemalloc.start()
    card.boot()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert card.error.count("the file is far too long") + card.error.count("The file is far too long") == 3
    assert not starts_at_boot(card)


# ---------------------------------------------------------------------------------------------------------------------
# The boot


def imports(card: Card) -> set[str]:
    """Run the first boot as its service does, and return which modules it imported."""
    command = [sys.executable, "-I", "-X", "importtime", str(PROGRAM), str(card.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"\| +([\w.]+)$", done.stderr, re.M))


def test_nothing_more_is_imported_without_imagers_files(card: Card) -> None:
    assert not imports(card) & {"imager", "tomllib", "yaml"}
    put(card, **{"rpi-preseed.toml": '[system]\nhostname = "pi07"\n'})
    assert imports(card) >= {"imager", "tomllib", "yaml"}
    assert card.read("etc/hostname") == "pi07\n"


def test_python_is_started_for_each_file(card: Card) -> None:
    card.boot()
    for name in ("rpi-preseed.toml", "custom.toml", "firstrun.sh", "user-data", "network-config"):
        assert not starts_at_boot(card)
        put(card, **{name: "not a setting\n"})
        assert starts_at_boot(card)
        card.boot()


@pytest.mark.slow
@as_root
def test_the_next_boot_recovers_from_a_power_cut_at_any_step(card: Card, tmp_path: Path) -> None:
    put(card, **FILES["Imager 2.0.11"])
    put(card, **{"classroom.yml": "timezone: Europe/Berlin\n"})
    steps = 0
    while True:
        copied = copy.copy(card)
        copied.root = tmp_path / str(steps)
        shutil.copytree(card.root, copied.root, symlinks=True)
        if cut_boot(copied, steps):
            break
        if starts_at_boot(copied):
            copied.boot()
        assert_applied(copied)
        assert "The time zone: classroom.yml sets it too, and wins." in copied.error
        assert left(copied) == set()
        assert not list(copied.root.rglob("*.new"))
        assert not starts_at_boot(copied)
        steps += 1
    assert steps > 40


@pytest.mark.skipif(
    not (GENERATOR.exists() and MANAGER.exists() and shutil.which("setpriv")) or os.geteuid() != 0,
    reason="needs systemd and root: apt-get install systemd, and run pytest as root",
)
@pytest.mark.parametrize("ours", [True, False])
def test_the_pi_starts_as_usual_though_imager_1_asked_for_its_script(ours: bool) -> None:
    """With Debian's systemd alone, it would run nothing but the script, which is not there, and switch off."""
    # Not in tmp_path, into which only root may look: systemd does this as nobody only.
    with_units = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        folders = [with_units / name for name in ("normal", "early", "late")]
        for folder in folders:
            folder.mkdir()
        environment = {"PATH": os.environ["PATH"], "SYSTEMD_PROC_CMDLINE": f"quiet {RUN}"}
        subprocess.run([GENERATOR, *folders], env=environment, check=True)
        assert "FailureAction=exit" in (folders[0] / "kernel-command-line.service").read_text()
        shutil.copytree(TREE / "etc/systemd/system", with_units / "etc", symlinks=True)
        if not ours:
            (with_units / "etc/kernel-command-line.target").unlink()
        with_units.chmod(0o755)
        path = f"{with_units / 'etc'}:{folders[0]}:/usr/lib/systemd/system"
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*nobody, MANAGER, "--test", "--system", "--unit=kernel-command-line.target"],
            env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": path},
            cwd="/",  # nobody may be unable to look into the project's folder
            capture_output=True,
            text=True,
            check=False,
        )
        started = set(re.findall(r"Action: (\S+) -> start", done.stdout))
        assert ("mynn-first-boot.service" in started) == ours, done.stdout[-2000:] + done.stderr
        assert ("kernel-command-line.service" in started) != ours
    finally:
        shutil.rmtree(with_units)
