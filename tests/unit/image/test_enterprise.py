"""School networks: what the first boot writes, used against a real authenticator, hostapd's.

eapol_test is wpa_supplicant without its radio. It reads the card's wpa_supplicant-wlan0.conf and does with it what the
Pi would: both are made from the same source package.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli_w

from ansible_collections.mynn.pi.plugins.module_utils.preseed import METHODS
from tests.support.ports import free_port
from tests.unit.image.card import CONF, Card
from tests.unit.image.test_preseed import authority

Authenticate = Callable[..., tuple[bool, str]]
SERVER = "radius.school.example"
IDENTITY, PASSWORD = r"SCHOOL\pi", 'Grün & "quoted" #1'
HEAD = '[wlan]\ncountry = "GB"\n'


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the certificates of a school's authority, ca.pem, and of its server, server.pem.

    The server's is of the future, as today's is for a Pi without a clock, or that was switched off for long.
    """
    folder = tmp_path_factory.mktemp("school")
    uses = ("basicConstraints=CA:FALSE", f"subjectAltName=DNS:{SERVER}", "extendedKeyUsage=serverAuth")
    server = ["-not_before", "20900101000000Z", "-not_after", "20910101000000Z", "-CA", "ca.pem", "-CAkey", "ca.key"]
    server += [word for use in uses for word in ("-addext", use)]
    for name, options in (("ca", ["-days", "3650"]), ("server", server)):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", f"/CN={name}"]
        subprocess.run([*new, *options, *files], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def card(tmp_path: Path, school: Path) -> Card:
    """A card with certificates beside its settings: the school's (DER, as Windows exports it), and another one."""
    card = Card(tmp_path / "card")
    der = subprocess.check_output(["openssl", "x509", "-in", school / "ca.pem", "-outform", "DER"])
    card.write("boot/firmware/school ca.cer", der)
    card.write("boot/firmware/other-ca.pem", authority())
    return card


def network(**settings: str) -> str:
    """Return settings with a network of PEAP. What is empty is left out."""
    usual = {"ssid": "School", "method": "peap", "identity": IDENTITY, "password": PASSWORD}
    usual |= {"ca_certificate": "school ca.cer", "domain": SERVER}
    given = {key: value for key, value in (usual | settings).items() if value}
    return HEAD + tomli_w.dumps({"mynn": {"wlan": [given]}})


SECRET = "shared"  # by access point and server
PATH = f"{os.environ['PATH']}:/usr/sbin"


@pytest.fixture(scope="module")
def authenticate(school: Path) -> Iterator[Authenticate]:
    """Run hostapd as a RADIUS server; yield a function: whether it accepts a card's network, and eapol_test's log."""
    port, environment = free_port(), {**os.environ, "PATH": PATH}
    users = f'*\tPEAP,TTLS\n"{IDENTITY}"\tMSCHAPV2,TTLS-MSCHAPV2,TTLS-PAP\t{PASSWORD.encode().hex()}\t[2]\n'
    (school / "users").write_text(users)
    (school / "clients").write_text(f"127.0.0.1/32\t{SECRET}\n")
    (school / "hostapd.conf").write_text(
        f"driver=none\neap_server=1\neap_user_file={school}/users\n"
        f"radius_server_clients={school}/clients\nradius_server_auth_port={port}\nca_cert={school}/ca.pem\n"
        f"server_cert={school}/server.pem\nprivate_key={school}/server.key\n"
    )

    def accepts(card: Card, **settings: str) -> tuple[bool, str]:
        card.boot(network(**settings))
        assert card.error == ""
        # The card's own file, but for the place of its certificates and of a socket that only the Pi needs.
        text = card.read(CONF).replace('"/etc/wpa_supplicant/', f'"{card.root}/etc/wpa_supplicant/')
        (school / "conf").write_text(re.sub("ctrl_interface=.*\n", "", text))
        command = ["eapol_test", "-c", f"{school}/conf", "-p", str(port), "-s", SECRET]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        assert done.stdout.rstrip().endswith(("SUCCESS", "FAILURE")), done.stdout[-2000:] + done.stderr
        return done.returncode == 0, done.stdout

    # It returns once it listens.
    subprocess.run(["hostapd", "-B", "-P", school / "pid", school / "hostapd.conf"], env=environment, check=True)
    try:
        yield accepts
    finally:
        os.kill(int((school / "pid").read_text()), signal.SIGTERM)


CERTIFICATE_ERROR = r"CTRL-EVENT-EAP-TLS-CERT-ERROR reason=\d+ depth=\d .* err='(.*)'"


exchange = pytest.mark.skipif(
    not all(shutil.which(program, path=PATH) for program in ("eapol_test", "hostapd")),
    reason="eapol_test or hostapd is missing: `make radius` installs eapoltest and hostapd",
)


@pytest.mark.slow
@exchange
@pytest.mark.parametrize("method", METHODS)
def test_a_password_is_checked_and_another_server_never_learns_it(
    card: Card, authenticate: Authenticate, method: str
) -> None:
    # The end of the server's name is enough.
    assert authenticate(card, method=method, domain="School.example")[0]
    accepted, log = authenticate(card, method=method, password="wrong")
    assert not accepted
    assert not re.search(CERTIFICATE_ERROR, log), "the server is the right one"
    for wrong in ({"ca_certificate": "other-ca.pem"}, {"ca_certificate": "system"}, {"domain": "chool.example"}):
        accepted, log = authenticate(card, method=method, **wrong)
        found = re.search(CERTIFICATE_ERROR, log)
        assert not accepted and found
        assert ("Domain suffix mismatch" if "domain" in wrong else "certificate") in found[1]
        assert "Phase 2" not in log, "a secret would have been sent"
    assert authenticate(card, method=method, ca_certificate="unchecked", domain="")[0]
