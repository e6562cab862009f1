"""rpi-preseed.toml: what is read from it, and what is refused.

The file is as Imager writes it by its sources at commit 72ad1179ff46 (August 2026, after 2.0.11.1),
src/customization_generator.cpp. The format is that of raspberrypi/rpi-preseed at commit 64c298606e5b.
"""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.mynn.pi.plugins.module_utils import preseed
from ansible_collections.mynn.pi.plugins.module_utils.preseed import Preseed, nt_hash
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


def authority(*options: str) -> str:
    """Return a certificate authority's certificate, unless the options say otherwise."""
    new = ("req", "-x509", "-newkey", "ed25519", "-noenc", "-subj", "/CN=school", "-keyout", "/dev/null", *options)
    return subprocess.run(["openssl", *new], capture_output=True, text=True, check=True).stdout


def read(content: str | bytes, **more: Any) -> Preseed:
    return Preseed(content.encode() if isinstance(content, str) else content, Path("/nowhere"), **more)


def networks(found: Preseed) -> list[str]:
    """Return the networks, as wpa_supplicant reads them."""
    return re.findall(r"^network=\{\n(.*?)^\}\n", found.settings["wifi"], re.M | re.S)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_imager_writes_is_read_in_any_encoding_of_an_editor(encoding: str) -> None:
    found = read(IMAGER.replace("\n", "\r\n").encode(encoding))
    assert found.mistakes + found.notes == []
    assert "\ncountry=NO\n" in found.settings["wifi"]
    assert networks(found) == [f"\tssid={b'IEEE'.hex()}\n\tscan_ssid=1\n\tpsk={KEY}\n"]
    del found.settings["wifi"]
    assert found.settings == {
        "hostname": "pi07",
        "account": "teacher",
        "account_hash": YESCRYPT,
        "ssh_keys": [PUBLIC],
        "keymap": "gb",
        "timezone": "Europe/Berlin",
    }


def test_ours_adds_the_notebooks_password_and_more_networks() -> None:
    text = f'{WLAN}password = "password"\n[mynn]\npassword = "sunflower7"\n'
    found = read(text + '[[mynn.wlan]]\nssid = "Grün"\n[[mynn.wlan]]\nssid_hex = "E9"\n')
    assert found.mistakes + found.notes == []
    assert found.settings["password"] == "sunflower7"
    names = [b"IEEE".hex(), "Grün".encode().hex(), "e9"]
    keys = [f"psk={KEY}", "key_mgmt=NONE", "key_mgmt=NONE"]
    assert networks(found) == [f"\tssid={name}\n\t{key}\n" for name, key in zip(names, keys, strict=True)]


def test_the_empty_file_is_valid_with_its_settings_uncommented(tmp_path: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert read(text).settings == {}
    text = re.sub(r"ssh-ed25519 .*Example\w+.*(?=\")", PUBLIC, re.sub("^#(?! |$)", "", text, flags=re.M))
    (tmp_path / "school-ca.pem").write_text(authority())
    found = Preseed(text.encode(), tmp_path)
    assert found.mistakes + found.notes == []
    assert len(networks(found)) == 4  # the school's twice
    assert found.settings.keys() == {"hostname", "timezone", "account_password", "ssh_keys", "wifi", "password"}


# What is wrong, and a part of the sentence about it.
BAD: list[tuple[str | bytes, str]] = [
    ('[system]\nhostname = "pi07\n', "line 2: check the quotation marks"),
    ('# Grüße\n[system]\nhostname = "pi07"\n'.encode("cp1252"), "choose Save as, and Encoding: UTF-8"),
    (b"#" * 70_000, "the file is far too long"),
    ("[mynn]\npassword = 12345678\n", "[mynn] password: this is a text"),
    ('[system]\nhostname = "pi07\\nreboot"\n', "[system] hostname: this is one line"),
    ('[locale]\ntimezone = "iso3166.tab"\n', "there is no time zone"),
    (f'[locale]\ntimezone = "{"a" * 256}"\n', "there is no time zone"),
    ("a." * 30_000 + "a = 1\n", "check the quotation marks"),  # which would take half a minute and 1 GB
    ('"\u2028#"' + ".a" * 30_000 + " = 1\n", "check the quotation marks"),  # one line for TOML, two for Python
    ('a = {b = """\n#""", c' + ".a" * 30_000 + " = 1}\n", "check the quotation marks"),  # no comment
    (f"{WLAN}password = []\n", "[wlan] password: this is a text"),
    ('[user]\nname = "root"\n', "[user] name: this Pi has another account"),
    ('[user]\npassword = "$y$a:b"\npassword_encrypted = true\n', "this is not a hashed password"),
    (f'[ssh]\nauthorized_keys = ["{PUBLIC[:50]}"]\n', "1 of 1 lines are not a public SSH key, or not all of it"),
    ('[system]\nhostname = "pi07-"\n', "[system] hostname: a name has"),
    (f'{WLAN}password = "secret7"\n', "[wlan] password: a Wi-Fi password has 8 to 63"),
    (WLAN.replace("IEEE", "é" * 17), "a network's name has 1 to 32 characters"),
    (f'{WLAN}[mynn.wlan]\nssid = "a"\n', "[mynn] wlan: write [[mynn.wlan]], with two brackets"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD)
def test_a_mistake_is_explained_without_quoting_a_secret(content: str | bytes, sentence: str) -> None:
    found = read(content, taken={"root"})
    assert len(found.mistakes) == 1
    assert sentence in found.mistakes[0]
    assert not any(secret in found.mistakes[0] for secret in ("secret7", "12345678", "$y$a", KEY[:50]))


def test_a_school_network_needs_its_own_authority(tmp_path: Path) -> None:
    assert nt_hash("clientPass") == "hash:44ebba8d5312b8d611474411f56989ae"  # the example of RFC 2759, 9.2
    (tmp_path / "ca.pem").write_text(authority())
    (tmp_path / "link.pem").symlink_to("ca.pem")
    (tmp_path / "server.pem").write_text(authority("-addext", "basicConstraints=CA:FALSE"))
    network = {"country": "GB", "ssid": "School", "method": "peap", "identity": "pi", "password": "secret7"}
    for certificate, sentence in (
        ("", "anybody could set up a network of this name and learn"),
        ("link.pem", "link.pem is missing. It belongs beside rpi-preseed.toml"),
        ("server.pem", "not the certificate of an authority (CA)"),
        ("ca.pem", "domain: the name in the certificate of the school's server"),
    ):
        given = network | ({"ca_certificate": certificate} if certificate else {})
        mistakes = "".join(Preseed(tomli_w.dumps({"wlan": given}).encode(), tmp_path).mistakes)
        assert sentence in mistakes
        assert "secret7" not in mistakes


def test_what_a_pi_does_not_have_is_named_and_the_rest_applied() -> None:
    text = '[connect]\ntoken = "secret7"\n[interfaces]\nspi = false\n"\\u001b[31m" = 1\n[runcmd]\nearly = ["reboot"]\n'
    text += '[system]\nhostnme = "a"\nhostname = "pi07"\n[user]\ngroups = ["sudo", "gpio"]\n[ssh]\nenabled = false\n'
    text += "password_authentication = false\n"
    found = read(text)
    assert found.mistakes == []
    assert found.settings == {"hostname": "pi07"}
    named = ["[user] groups: gpio is left out.", "[ssh] enabled: SSH stays on: the Pi is managed over it."]
    named += ["[ssh] password_authentication: SSH accepts no passwords as soon as there are keys, and only then."]
    lacking = ["[connect] token", "[interfaces] ?[31m", "[runcmd] early", "[system] hostnme"]
    assert found.notes == named + [f"{place}: this Pi does not have such a setting." for place in lacking]


SAFE = {
    "hostname": r"[a-z0-9-]{1,63}",
    "account": r"[a-z0-9_-]{1,32}",
    "account_hash": r"[$./=A-Za-z0-9]+",
    "account_password": r"[^\0-\x1f\x7f]{8,64}",
    "password": r"[^\0-\x1f\x7f]{8,64}",
    "keymap": "[a-z]+",
    "timezone": r"[\w+-]+(/[\w+-]+)*",
    "ssh_keys": re.escape(str([PUBLIC])),
    "wifi": r'#.*\nctrl_interface=.*\n(country=[A-Z]{2}\n)?(network=\{\n(\t\w+=([\w:-]+|"[\w/.= -]+")\n)+\}\n)+',
}
TEXT = st.characters(exclude_categories=["Cs"])
VALUES = st.one_of(
    st.text(TEXT, max_size=70),
    st.sampled_from(
        [*re.findall('"(.*)"', IMAGER), "UTC", "sunflower7", "peap", "system", "a:b\nc", "../../etc/passwd"]
    ),
    st.booleans() | st.integers() | st.lists(st.text(TEXT, max_size=20), max_size=3),
)
KEYS = {name: [*tomllib.loads(IMAGER)[name]] for name in ("system", "user", "ssh", "wlan", "locale")}
KEYS |= {"mynn": ["password", "passwords"], "wlan": [*KEYS["wlan"], "ssid_hex", "key_mgmt", *preseed.ENTERPRISE]}
TABLES = {name: st.fixed_dictionaries({}, optional=dict.fromkeys(keys, VALUES)) for name, keys in KEYS.items()}
FILES = st.fixed_dictionaries({}, optional=TABLES).map(lambda tables: tomli_w.dumps(tables).encode())
DAMAGED = st.tuples(st.integers(0, len(IMAGER)), st.integers(0, 40), st.text(max_size=5) | st.sampled_from('"[\0')).map(
    lambda torn: (IMAGER[: torn[0]] + torn[2] + IMAGER[torn[0] + torn[1] :]).encode()
)


@settings(max_examples=300)
@given(FILES | DAMAGED | st.binary())
def test_anything_is_refused_or_safe(content: bytes) -> None:
    """Whatever the file says: a mistake, or settings that can be written into the Pi's files as they are."""
    with pytest.MonkeyPatch.context() as patch:  # start no ssh-keygen and no openssl for each example
        patch.setattr(preseed, "fingerprint", PUBLIC.__eq__)
        patch.setattr(preseed, "nt_hash", lambda password: "hash:00")
        patch.setattr(preseed, "wifi_key", lambda ssid, password: "0" * 64)
        found = Preseed(content, Path("/nowhere"))
    assert all(sentence.isprintable() for sentence in found.mistakes + found.notes)
    for name, value in found.settings.items():
        assert re.fullmatch(SAFE[name], str(value)), name


PLACES = [(table, key) for table in sorted(KEYS) for key in tomllib.loads(IMAGER).get(table, {})]
# What is set by it, where that is not called as in the file.
SETS = {"name": "account", "password": "account_", "password_encrypted": "account_", "authorized_keys": "ssh_keys"}


@given(st.sampled_from(PLACES), VALUES)
@example(("system", "hostname"), "pi07-")  # Imager lets these through
@example(("system", "hostname"), "localhost")
@example(("ssh", "authorized_keys"), [PUBLIC, f"ssh-rsa {PUBLIC.split()[1]}"])  # it makes this of PuTTY's Ed25519
@example(("wlan", "country"), "")
@example(("wlan", "hidden"), "no")
def test_a_bad_setting_costs_only_itself_and_is_named(place: tuple[str, str], value: Any) -> None:
    table, key = place
    tables = tomllib.loads(IMAGER)
    tables[table][key] = value
    found, whole = read(tomli_w.dumps(tables)), read(IMAGER)
    other = {name for name in SAFE if found.settings.get(name) != whole.settings.get(name)}
    assert all(name.startswith("wifi" if table == "wlan" else SETS.get(key, key)) for name in other)
    assert all(sentence.startswith(f"[{table}] ") for sentence in found.mistakes + found.notes)
    assert found.mistakes or value == [] or not whole.settings.keys() - found.settings.keys()
    assert "wifi" in found.settings or place in [("wlan", key) for key in ("ssid", "password", "password_encrypted")]


def test_what_imager_writes_for_unusual_names_and_keys_is_read() -> None:
    for name in ("iPhone de\u00a0Marie", "\U0001f468\u200d\U0001f469\u200d\U0001f467 WLAN"):
        found = read(IMAGER.replace('"IEEE"', f'"{name}"').replace(KEY, KEY.upper()).replace("[\n", '["# mine",\n'))
        assert found.mistakes + found.notes == []
        assert networks(found) == [f"\tssid={name.encode().hex()}\n\tscan_ssid=1\n\tpsk={KEY}\n"]
        assert found.settings["ssh_keys"] == [PUBLIC]
