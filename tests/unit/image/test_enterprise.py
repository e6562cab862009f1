"""School networks: what the first boot writes, used against a real authenticator, hostapd's.

eapol_test is wpa_supplicant without its radio. It reads the card's wpa_supplicant-wlan0.conf and does with it what the
Pi would: both are made from the same source package.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w

from ansible_collections.mynn.pi.plugins.module_utils.preseed import METHODS, Preseed
from tests.unit.image.test_first_boot import (
    ALL,
    CONF,
    SETTINGS,
    Card,
    as_root,
    assert_all_applied,
    cut_boot,
    starts_at_boot,
)

Authenticate = Callable[[Card], tuple[bool, str]]
WAIT = 20  # seconds for an exchange, which takes less than one
SERVER = "radius.school.example"
IDENTITY, PASSWORD = r"SCHOOL\pi", 'Grün & "quoted" #1'
HEAD = '[wlan]\ncountry = "GB"\n'


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Authority:
    """A school's certificate authority, with the certificates that it issues to servers: NAME.pem and NAME.key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.key, self.pem = self.folder / "ca.key", self.folder / "ca.pem"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "3650")
        openssl(*new, "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.pem)

    def issue(self, name: str, *dates: str) -> None:
        """Issue a certificate."""
        key, request, pem = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        new = ("req", "-newkey", "rsa:2048", "-noenc", "-subj", f"/CN={name}")
        openssl(*new, "-keyout", key, "-out", request)
        use = f"basicConstraints=CA:FALSE\nsubjectAltName=DNS:{SERVER}\nextendedKeyUsage=serverAuth\n"
        (self.folder / "use").write_text(use)
        signer = ("-CA", self.pem, "-CAkey", self.key, "-extfile", self.folder / "use")
        openssl("x509", "-req", "-in", request, *signer, *(dates or ("-days", "3650")), "-out", pem)


@dataclass
class School:
    """A school: its authority, and another that nobody should trust."""

    authority: Authority
    other: Authority


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    folder = tmp_path_factory.mktemp("school")
    school = School(Authority(folder, "school"), Authority(folder, "other"))
    school.authority.issue("server")
    # For a Pi that was switched off for long, or has no clock, today's certificate is of the future.
    school.authority.issue("future", "-not_before", "20900101000000Z", "-not_after", "20910101000000Z")
    return school


@pytest.fixture
def card(tmp_path: Path, school: School) -> Card:
    """A card with the school's certificates beside its settings."""
    card = Card(tmp_path / "card")
    for authority, name in ((school.authority, "school-ca.pem"), (school.other, "other-ca.pem")):
        card.write(f"boot/firmware/{name}", authority.pem.read_bytes())
    return card


def network(**settings: str) -> str:
    """Return settings with a network of PEAP. What is empty is left out."""
    usual = {"ssid": "School", "method": "peap", "identity": IDENTITY, "password": PASSWORD}
    usual |= {"ca_certificate": "school-ca.pem", "domain": SERVER}
    given = {key: value for key, value in (usual | settings).items() if value}
    return HEAD + tomli_w.dumps({"mynn": {"wlan": [given]}})


# ---------------------------------------------------------------------------------------------------------------------
# The exchange


SECRET = "shared"  # by access point and server
PATH = f"{os.environ['PATH']}:/usr/sbin"


def free_port() -> int:
    """Return a UDP port that nobody uses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def authenticator(folder: Path, authority: Authority, server: str = "server") -> Iterator[Authenticate]:
    """Run hostapd as a RADIUS server; yield a function: whether it accepts a card, and eapol_test's log."""
    folder.mkdir()
    port, environment = free_port(), {**os.environ, "PATH": PATH}
    users = f'*\tPEAP,TTLS\n"{IDENTITY}"\tMSCHAPV2,TTLS-MSCHAPV2,TTLS-PAP\t{PASSWORD.encode().hex()}\t[2]\n'
    (folder / "users").write_text(users)
    (folder / "clients").write_text(f"127.0.0.1/32\t{SECRET}\n")
    (folder / "hostapd.conf").write_text(
        f"driver=none\neap_server=1\neap_user_file={folder}/users\n"
        f"radius_server_clients={folder}/clients\nradius_server_auth_port={port}\nca_cert={authority.pem}\n"
        f"server_cert={authority.folder}/{server}.pem\nprivate_key={authority.folder}/{server}.key\n"
    )

    def authenticate(card: Card) -> tuple[bool, str]:
        # The card's own file, but for the place of its certificates and of a socket that only the Pi needs.
        text = card.read(CONF).replace('"/etc/wpa_supplicant/', f'"{card.root}/etc/wpa_supplicant/')
        (folder / "conf").write_text(re.sub("ctrl_interface=.*\n", "", text))
        command = ["eapol_test", "-c", f"{folder}/conf", "-p", str(port), "-s", SECRET, "-t", str(WAIT)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        assert done.stdout.rstrip().endswith(("SUCCESS", "FAILURE")), done.stdout[-2000:] + done.stderr
        return done.returncode == 0, done.stdout

    # It returns once it listens.
    subprocess.run(["hostapd", "-B", "-P", folder / "pid", folder / "hostapd.conf"], env=environment, check=True)
    try:
        yield authenticate
    finally:
        os.kill(int((folder / "pid").read_text()), signal.SIGTERM)


CERTIFICATE_ERROR = r"CTRL-EVENT-EAP-TLS-CERT-ERROR reason=\d+ depth=\d .* err='(.*)'"


@pytest.fixture(scope="module")
def authenticate(school: School, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authenticate]:
    with authenticator(tmp_path_factory.mktemp("authenticator") / "hostapd", school.authority) as authenticate:
        yield authenticate


def prepare(card: Card, **settings: str) -> None:
    """Boot a card with a network."""
    card.boot(network(**settings))
    assert card.error == ""


def assert_refused(authenticate: Authenticate, card: Card, reason: str) -> None:
    """The card refuses the server, for this reason, before it has sent a secret."""
    accepted, log = authenticate(card)
    found = re.search(CERTIFICATE_ERROR, log)
    assert not accepted and found and reason in found[1]
    assert "Phase 2" not in log, "a secret would have been sent"


exchange = pytest.mark.skipif(
    not all(shutil.which(program, path=PATH) for program in ("eapol_test", "hostapd")),
    reason="eapol_test or hostapd is missing: `make radius` installs eapoltest and hostapd",
)


@pytest.mark.slow
@exchange
@pytest.mark.parametrize("method", METHODS)
def test_the_right_password_is_accepted_and_a_wrong_one_refused(
    card: Card, authenticate: Authenticate, method: str
) -> None:
    prepare(card, method=method, domain="School.example")  # the end of the server's name is enough
    assert authenticate(card)[0]
    prepare(card, method=method, password="wrong")
    accepted, log = authenticate(card)
    assert not accepted
    assert not re.search(CERTIFICATE_ERROR, log), "the server is the right one"


@pytest.mark.slow
@exchange
@pytest.mark.parametrize("method", METHODS)
def test_another_server_is_refused_unless_the_teacher_says_so(
    card: Card, authenticate: Authenticate, method: str
) -> None:
    for wrong in ({"ca_certificate": "other-ca.pem"}, {"ca_certificate": "system"}, {"domain": "chool.example"}):
        prepare(card, method=method, **wrong)
        assert_refused(authenticate, card, "Domain suffix mismatch" if "domain" in wrong else "certificate")
    prepare(card, method=method, ca_certificate="unchecked", domain="")
    assert authenticate(card)[0]


@exchange
def test_a_pi_whose_clock_is_behind_gets_in(card: Card, school: School, tmp_path: Path) -> None:
    prepare(card)
    with authenticator(tmp_path / "hostapd", school.authority, "future") as authenticate:
        assert authenticate(card)[0]


@exchange
def test_an_authority_may_be_der_as_windows_exports_it(card: Card, school: School, authenticate: Authenticate) -> None:
    openssl("x509", "-in", school.authority.pem, "-outform", "DER", "-out", card.root / "boot/firmware/school ca.cer")
    prepare(card, ca_certificate="school ca.cer")
    assert authenticate(card)[0]
    card.boot(f'{HEAD}ssid = "Home"\n')
    assert len(list((card.root / "etc/wpa_supplicant").iterdir())) == 1, "its network is gone"


# ---------------------------------------------------------------------------------------------------------------------
# What is written


def test_the_hash_is_that_of_mschapv2(card: Card) -> None:
    """With the example of RFC 2759, 9.2."""
    card.boot(network(identity="User", password="clientPass"))
    assert "\tpassword=hash:44ebba8d5312b8d611474411f56989ae\n" in card.read(CONF)


@pytest.mark.slow
@as_root
def test_the_next_boot_recovers_from_a_power_cut_at_any_step(tmp_path: Path, school: School) -> None:
    """At the first boot, with all kinds of settings. Then no secret is left on the small partition."""
    steps = 0
    while True:
        card = Card(tmp_path / str(steps))
        card.write("boot/firmware/school-ca.pem", school.authority.pem.read_bytes())
        card.write(SETTINGS, f"{ALL}\n{network(password='of the school').removeprefix(HEAD)}")
        if cut_boot(card, steps):
            break
        if starts_at_boot(card):
            card.boot()
        assert_all_applied(card, networks=4)
        assert not starts_at_boot(card)
        assert not list(card.root.rglob("*.new"))
        steps += 3  # each takes a second
    assert steps > 60
    for path, (_, _, content) in card.files().items():
        assert b"of the school" not in content and b"marigold7" not in content, path


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes

BAD: dict[str, dict[str, str]] = {
    "method: write peap, ttls-mschapv2, ttls-pap": {"method": "tls"},
    "anybody could set up a network of this name and learn": {"ca_certificate": ""},
    "link.pem is missing. It belongs beside rpi-preseed.toml": {"ca_certificate": "link.pem"},
    "not the certificate of an authority (CA)": {"ca_certificate": "server.pem"},
    "domain: the name in the certificate of the school's server": {"domain": ""},
}


def test_a_mistake_is_explained(tmp_path: Path, school: School) -> None:
    shutil.copy(school.authority.pem, tmp_path / "school-ca.pem")
    shutil.copy(school.authority.folder / "server.pem", tmp_path)
    (tmp_path / "link.pem").symlink_to(school.authority.pem)
    for sentence, settings in BAD.items():
        [mistake] = Preseed(network(**settings).encode(), tmp_path).mistakes
        assert sentence in mistake
        assert PASSWORD not in mistake
