"""rpi-preseed.toml: what is read from it, and what is refused.

The file is as Imager writes it by its sources at commit 72ad1179ff46 (August 2026, after 2.0.11.1),
src/customization_generator.cpp. The format is that of raspberrypi/rpi-preseed at commit 64c298606e5b.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.module_utils import preseed
from ansible_collections.mynn.pi.plugins.module_utils.preseed import Preseed
from tests.support.programs import ROOT

TEMPLATE = ROOT / "roles/image/files/rpi-preseed.toml"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC0x5mCmPp4oJ4ojY9ZQmVQ4f4mMd3aJ0Z6kq9c1mU0d you@desk"
# Test vector from IEEE 802.11i, annex H.4: the key of the network "IEEE" with the password "password".
KEY = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
YESCRYPT = "$y$j9T$abcdefghijklmnop$" + "k" * 43
IMAGER = f"""config_version = "1.0"

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
WLAN = '[wlan]\ncountry = "GB"\nssid = "IEEE"\n'


def read(content: str | bytes, **more: Any) -> Preseed:
    return Preseed(content.encode() if isinstance(content, str) else content, Path("/nowhere"), **more)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_imager_writes_is_read_in_any_encoding_of_an_editor(encoding: str) -> None:
    found = read(IMAGER.replace("\n", "\r\n").encode(encoding))
    assert found.mistakes + found.notes == []
    assert found.settings == {
        "hostname": "pi07",
        "account": "teacher",
        "account_hash": YESCRYPT,
        "ssh_keys": [PUBLIC],
        "wifi": {"country": "NO", "networks": [{"ssid": b"IEEE".hex(), "hidden": True, "psk": KEY}]},
        "keymap": "gb",
        "timezone": "Europe/Berlin",
    }


def test_ours_adds_the_notebooks_password_and_more_networks() -> None:
    text = f'{WLAN}password = "password"\n[mynn]\npassword = "sunflower7"\n'
    found = read(text + '[[mynn.wlan]]\nssid = "Grün"\nhidden = true\n[[mynn.wlan]]\nssid_hex = "E9"\n')
    assert found.mistakes + found.notes == []
    assert found.settings["password"] == "sunflower7"
    assert [network["psk"] for network in found.settings["wifi"]["networks"]] == [KEY, "", ""]
    assert [network["ssid"] for network in found.settings["wifi"]["networks"]] == [
        b"IEEE".hex(),
        "Grün".encode().hex(),
        "e9",
    ]


def test_the_empty_file_is_valid_with_its_settings_uncommented(tmp_path: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert read(text).settings == {}
    text = re.sub(r"ssh-ed25519 .*Example\w+.*(?=\")", PUBLIC, re.sub("^#(?! |$)", "", text, flags=re.M))
    new = ("req", "-x509", "-newkey", "ed25519", "-noenc", "-subj", "/CN=school", "-keyout", "/dev/null")
    authority = subprocess.run(["openssl", *new], capture_output=True, check=True).stdout
    (tmp_path / "school-ca.pem").write_bytes(authority)
    found = Preseed(text.encode(), tmp_path)
    assert found.mistakes + found.notes == []
    assert len(found.settings["wifi"]["networks"]) == 3
    assert found.settings.keys() == {"hostname", "timezone", "account_password", "ssh_keys", "wifi", "password"}


# What is wrong, and a part of the sentence about it. Of each, nothing is used.
BAD: dict[str, tuple[str | bytes, str]] = {
    "an open quotation mark": ('[system]\nhostname = "pi07\n', "line 2: check the quotation marks"),
    "no quotation marks": ("[system]\nhostname = pi07\n", "line 2: check the quotation marks"),
    "twice": ('[system]\nhostname = "a"\nhostname = "b"\n', "line 3: check the quotation marks"),
    "deep": ("a = " + "[" * 60_000, "check the quotation marks"),
    "a long number": (f"a = {'9' * 60_000}\n", "check the quotation marks"),
    "not UTF-8": ('# Grüße\n[system]\nhostname = "pi07"\n'.encode("cp1252"), "choose Save as, and Encoding: UTF-8"),
    "far too long": (b"#" * 70_000, "the file is far too long"),
    "another version": ('config_version = "2.0"\n', "config_version: this Pi knows version 1 only"),
    "a loose setting": ('hostname = "pi07"\n', "hostname: a setting stands below the line with its table's name"),
    "a number as name": ("[system]\nhostname = 7\n", "[system] hostname: this is a text"),
    "a list of numbers": ("[ssh]\nauthorized_keys = [1]\n", "[ssh] authorized_keys: this is a list of texts"),
    "a word as true": (f'{WLAN}hidden = "yes"\n', "[wlan] hidden: this is true or false"),
    "two lines": ('[system]\nhostname = "pi07\\nreboot"\n', "[system] hostname: this is one line"),
    "localhost": ('[system]\nhostname = "localhost"\n', "[system] hostname: a name has"),
    "a name that ends in a hyphen": ('[system]\nhostname = "pi-"\n', "[system] hostname: a name has"),
    "a zone that leads elsewhere": ('[locale]\ntimezone = "../../../etc/passwd"\n', "there is no time zone"),
    "a zone that is a folder": ('[locale]\ntimezone = "Europe"\n', "there is no time zone"),
    "a file that is no zone": ('[locale]\ntimezone = "iso3166.tab"\n', "there is no time zone"),
    "a layout that runs": ('[locale]\nkeymap = "gb\\"; reboot"\n', "[locale] keymap: a layout is"),
    "an account that runs": ('[user]\nname = "a b:0:0"\n', "[user] name: a name has"),
    "an account that is there": ('[user]\nname = "root"\n', "[user] name: this Pi has another account"),
    "not a hash": ('[user]\npassword = "$y$a:b"\npassword_encrypted = true\n', "this is not a hashed password"),
    "a short password": ('[user]\npassword = "secret7"\n', "[user] password: a password has 8 to 64"),
    "a password of digits": ("[mynn]\npassword = 12345678\n", "[mynn] password: this is a text"),
    "half a key": (f'[ssh]\nauthorized_keys = ["{PUBLIC[:50]}"]\n', "not a public SSH key, or not all of it"),
    "no country": ('[wlan]\nssid = "School"\n', "[wlan] country: the Wi-Fi needs its country"),
    "UK": (WLAN.replace("GB", "UK"), "[wlan] country: the Wi-Fi needs its country, by two capitals such as GB"),
    "a short Wi-Fi password": (f'{WLAN}password = "secret7"\n', "[wlan] password: a Wi-Fi password has 8 to 63"),
    "half a Wi-Fi key": (f'{WLAN}password = "{KEY[:50]}"\npassword_encrypted = true\n', "a Wi-Fi key has 64"),
    "WPA3 only": (f'{WLAN}password = "sunflower"\nkey_mgmt = "sae"\n', "[wlan] key_mgmt: a Pi joins networks"),
    "a long network": (WLAN.replace("IEEE", "ä" * 17), "[wlan] ssid: a network's name has 1 to 32"),
    "half an octet": ('[wlan]\ncountry = "GB"\nssid_hex = "abc"\n', "[wlan] ssid: a network's name has 1 to 32"),
    "a network without name": ('[wlan]\ncountry = "GB"\n[[mynn.wlan]]\n', "[[mynn.wlan]] 1 ssid: a network's name"),
    "one bracket": (f'{WLAN}[mynn.wlan]\nssid = "a"\n', "[mynn] wlan: write [[mynn.wlan]], with two brackets"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_mistake_is_explained_without_quoting_a_secret(content: str | bytes, sentence: str) -> None:
    found = read(content, taken={"root"})
    assert len(found.mistakes) == 1
    assert sentence in found.mistakes[0]
    assert not any(secret in found.mistakes[0] for secret in ("secret7", "12345678", "$y$a", KEY[:50]))


def test_what_a_pi_does_not_have_is_named_and_the_rest_applied() -> None:
    text = '[connect]\ntoken = "secret7"\n[interfaces]\nspi = false\n"\\u001b[31m" = 1\n[runcmd]\nearly = ["reboot"]\n'
    text += '[system]\nhostnme = "a"\nhostname = "pi07"\n[user]\ngroups = ["sudo", "gpio"]\n[ssh]\nenabled = false\n'
    found = read(text)
    assert found.mistakes == []
    assert found.settings == {"hostname": "pi07"}
    named = ["[user] groups: gpio is left out.", "[ssh] enabled: SSH stays on: the Pi is managed over it."]
    lacking = ["[connect] token", "[interfaces] ?[31m", "[runcmd] early", "[system] hostnme"]
    assert found.notes == named + [f"{place}: this Pi does not have such a setting." for place in lacking]


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize("passwords", [True, False])
def test_ssh_accepts_passwords_exactly_without_keys(keys: bool, passwords: bool) -> None:
    text = f"[ssh]\npassword_authentication = {str(passwords).lower()}\nauthorized_keys = {[PUBLIC] if keys else []}\n"
    assert bool(read(text).notes) == (keys == passwords)


# ---------------------------------------------------------------------------------------------------------------------
# Anything


SAFE = {
    "hostname": r"[a-z0-9-]{1,63}",
    "account": r"[a-z0-9_-]{1,32}",
    "account_hash": r"[$./=A-Za-z0-9]+",
    "account_password": r"[^\0-\x1f\x7f]{8,64}",
    "password": r"[^\0-\x1f\x7f]{8,64}",
    "keymap": "[a-z]+",
    "timezone": r"[\w+-]+(/[\w+-]+)*",
}
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=70),
    st.sampled_from([*re.findall('"(.*)"', IMAGER), "UTC", "sunflower7", "8 letters", "a:b\nc", "../../etc/passwd"]),
    st.booleans(),
    st.integers(),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3),
)
TABLES = {name: [*tomllib.loads(IMAGER)[name]] for name in ("system", "user", "ssh", "wlan", "locale")}
TABLES |= {"mynn": ["password"], "wlan": [*TABLES["wlan"], "ssid_hex", "key_mgmt", *preseed.ENTERPRISE]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Start no ssh-keygen and no openssl for each example."""
    if "anything" in request.node.name:
        monkeypatch.setattr(preseed, "fingerprint", PUBLIC.__eq__)
        monkeypatch.setattr(preseed, "nt_hash", lambda password: "hash:00")
        monkeypatch.setattr(preseed, "wifi_key", lambda ssid, password: "0" * 64)


def check(content: bytes) -> None:
    """Whatever the file says: a mistake, or settings that can be written into the Pi's files as they are."""
    found = Preseed(content, Path("/nowhere"))
    for sentence in found.mistakes + found.notes:
        assert sentence.isprintable()
    if found.mistakes:
        return
    for name, value in found.settings.items():
        if name == "ssh_keys":
            assert set(value) == {PUBLIC}
        elif name != "wifi":
            assert re.fullmatch(SAFE[name], value), name
    for network in found.settings.get("wifi", {"networks": []})["networks"]:
        assert re.fullmatch("([0-9a-f]{2}){1,32}", network["ssid"])
        assert re.fullmatch("(0{64})?", network.get("psk", ""))
        assert "\n" not in str(list(network.values()))


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={
    table: st.fixed_dictionaries({}, optional=dict.fromkeys(keys, VALUES)) for table, keys in TABLES.items()
}))  # fmt: skip
def test_anything_in_known_settings_is_refused_or_safe(tables: dict[str, Any]) -> None:
    check(tomli_w.dumps(tables).encode())


@settings(deadline=None)
@given(st.integers(0, len(IMAGER)), st.integers(0, 40), st.text(max_size=5) | st.sampled_from(['"', "[[a]]", "\0"]))
def test_anything_torn_out_of_a_file_is_refused_or_safe(begin: int, length: int, new: str) -> None:
    check((IMAGER[:begin] + new + IMAGER[begin + length :]).encode())


@settings(deadline=None)
@given(st.binary())
def test_anything_binary_is_refused_or_safe(content: bytes) -> None:
    check(content)
