"""What a Pi writes into this-pi.txt, with folders as cards, and its own network: the real scripts."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.jupyter_server import render_template
from tests.unit.image.card import CONF, PROGRAM, TREE, Card


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


def test_it_says_how_to_reach_the_pi_and_is_written_only_if_that_changed(card: Card) -> None:
    card.boot()
    before = card.files()
    card.announce()
    assert card.files() == before
    key = card.root / "etc/ssh/ssh_host_ed25519_key.pub"
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout
    assert card.fact("SSH host key") == f"{fingerprint.split()[1]} (ED25519)"
    assert fingerprint.split()[1] in card.read("etc/issue.d/mynn-pi-host-key.issue")
    settings = {"__python_venv": "/opt/mynn/venv", "jupyter_port": 8889, "jupyter_https": True}
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
    assert card.fact("Wi-Fi") == "no network is set (hardware address b8:27:eb:12:34:56)"
    card.boot('[wlan]\nssid = "School"\npassword = "secret7"\n')
    assert card.fact("Wi-Fi").startswith("no network is set; see below (")
    assert card.fact(r"\[wlan\] password") == "a Wi-Fi password has 8 to 63 characters."
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
