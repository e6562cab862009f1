"""School networks: what the first boot writes, used against real authenticators, hostapd's and FreeRADIUS.

eapol_test is wpa_supplicant without its radio. It reads the card's wpa_supplicant-wlan0.conf and does with it what the
Pi would: both are made from the same source package. Server and client run in a network namespace of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w

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


def openssl(*arguments: str | Path, text: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Authority:
    """A school's certificate authority, with the certificates that it issues: NAME.pem and NAME.key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.key, self.pem = self.folder / "ca.key", self.folder / "ca.pem"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "3650")
        openssl(*new, "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.pem)

    def issue(self, name: str, *dates: str, names: str = "") -> None:
        """Issue a certificate, for a server with these DNS names or else for a client."""
        key, request, pem = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        new = ("req", "-newkey", "rsa:2048", "-noenc", "-subj", f"/CN={name}")
        openssl(*new, "-keyout", key, "-out", request)
        use = f"subjectAltName=DNS:{names}\nextendedKeyUsage=serverAuth" if names else "extendedKeyUsage=clientAuth"
        (self.folder / "use").write_text(f"basicConstraints=CA:FALSE\n{use}\n")
        signer = ("-CA", self.pem, "-CAkey", self.key, "-extfile", self.folder / "use")
        openssl("x509", "-req", "-in", request, *signer, *(dates or ("-days", "3650")), "-out", pem)

    def p12(self, name: str, password: str, *options: str) -> bytes:
        """Return a certificate, its key and the authority's certificate as a file for Windows."""
        file = self.folder / f"{name}.p12"
        parts = ("-inkey", self.folder / f"{name}.key", "-in", self.folder / f"{name}.pem", "-certfile", self.pem)
        openssl("pkcs12", "-export", *parts, "-out", file, "-passout", "stdin", *options, text=f"{password}\n")
        return file.read_bytes()


@dataclass
class School:
    """A school: its authority, another that nobody should trust, and hosts of its servers by their dates."""

    authority: Authority
    other: Authority


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    folder = tmp_path_factory.mktemp("school")
    school = School(Authority(folder, "school"), Authority(folder, "other"))
    school.authority.issue("server", names=SERVER)
    # For a Pi that was switched off for long, or has no clock, today's certificate is of the future.
    school.authority.issue("future", "-not_before", "20900101000000Z", "-not_after", "20910101000000Z", names=SERVER)
    for authority in (school.authority, school.other):
        authority.issue("pi07")
    return school


@pytest.fixture
def card(tmp_path: Path, school: School) -> Card:
    """A card with the school's certificates beside its settings."""
    card = Card(tmp_path / "card")
    for authority, name in ((school.authority, "school-ca.pem"), (school.other, "other-ca.pem")):
        card.write(f"boot/firmware/{name}", authority.pem.read_bytes())
    return card


def network(**settings: str) -> str:
    """Return settings with a network of PEAP, or of tls if there is a client certificate. What is empty is left out."""
    usual = {"ssid": "School", "method": "peap", "identity": IDENTITY, "password": PASSWORD}
    usual |= {"ca_certificate": "school-ca.pem", "domain": SERVER}
    given = {key: value for key, value in (usual | settings).items() if value}
    return HEAD + tomli_w.dumps({"mynn": {"wlan": [given]}})


def client(password: str = "of the file", **settings: str) -> str:
    """Return settings with a network that asks for the Pi's certificate."""
    tls = {"method": "tls", "identity": "pi07", "client_certificate": "pi07.p12"} | settings
    return network(password=password, **tls)


# ---------------------------------------------------------------------------------------------------------------------
# The exchange


# The least that FreeRADIUS needs: no list of clients, of modules or of sites but this.
FREERADIUS = """
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
security {{
    reject_delay = 0
    allow_vulnerable_openssl = yes
}}
listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = 1812
    virtual_server = outer
}}
client school {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
    files {{
        usersfile = {folder}/users
    }}
    pap {{
    }}
    mschap {{
        with_ntdomain_hack = yes
    }}
    eap {{
        default_eap_type = peap
        tls-config tls-common {{
            private_key_file = {server}.key
            certificate_file = {server}.pem
            ca_file = {authority}
        }}
        tls {{
            tls = tls-common
        }}
        ttls {{
            tls = tls-common
            virtual_server = inner
        }}
        peap {{
            tls = tls-common
            virtual_server = inner
        }}
        mschapv2 {{
        }}
    }}
}}
server outer {{
    authorize {{
        eap
    }}
    authenticate {{
        eap
    }}
}}
server inner {{
    authorize {{
        eap
        files
        mschap
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
        eap
    }}
}}
"""
SECRET = "shared"  # by access point and server
PATH = f"{os.environ['PATH']}:/usr/sbin"


def hostapd(folder: Path, authority: Authority, server: str) -> list[str]:
    """Write the files of hostapd as a RADIUS server, and return its command."""
    (folder / "users").write_text(
        f'"pi07"\tTLS\n*\tPEAP,TTLS\n"{IDENTITY}"\tMSCHAPV2,TTLS-MSCHAPV2,TTLS-PAP\t{PASSWORD.encode().hex()}\t[2]\n'
    )
    (folder / "clients").write_text(f"127.0.0.1/32\t{SECRET}\n")
    (folder / "hostapd.conf").write_text(
        f"driver=none\neap_server=1\neap_user_file={folder}/users\n"
        f"radius_server_clients={folder}/clients\nradius_server_auth_port=1812\n"
        f"ca_cert={authority.pem}\nserver_cert={authority.folder}/{server}.pem\n"
        f"private_key={authority.folder}/{server}.key\n"
    )
    return ["hostapd", f"{folder}/hostapd.conf"]


def freeradius(folder: Path, authority: Authority, server: str) -> list[str]:
    """Write the files of FreeRADIUS, and return its command."""
    password = PASSWORD.replace('"', '\\"')
    (folder / "users").write_text(f'{IDENTITY} Cleartext-Password := "{password}"\n')
    (folder / "dictionary").touch()  # beside its own
    settings = {"folder": folder, "secret": SECRET, "authority": authority.pem, "server": authority.folder / server}
    (folder / "radiusd.conf").write_text(FREERADIUS.format(**settings))
    return ["freeradius", "-f", "-X", "-d", str(folder)]


SERVERS = {"hostapd": hostapd, "freeradius": freeradius}


@contextmanager
def authenticator(folder: Path, authority: Authority, program: str, server: str = "server") -> Iterator[Authenticate]:
    """Run a RADIUS server; yield a function that returns whether it accepts a card, and eapol_test's log."""
    folder.mkdir()
    command = SERVERS[program](folder, authority, server)
    alone = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    environment = {**os.environ, "PATH": PATH}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*alone, *command], stdout=log, stderr=subprocess.STDOUT, env=environment)
    inside = ["nsenter", f"--target={process.pid}", "--user", "--net", "--preserve-credentials"]
    try:
        deadline = time.monotonic() + WAIT
        while not subprocess.run([*inside, "ss", "-Hlun", "sport = :1812"], capture_output=True, check=False).stdout:
            said = (folder / "log").read_text(errors="replace")
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.05)

        def authenticate(card: Card) -> tuple[bool, str]:
            # The card's own file, but for the place of its certificates and of a socket that only the Pi needs.
            text = card.read(CONF).replace('"/etc/wpa_supplicant/', f'"{card.root}/etc/wpa_supplicant/')
            conf = folder / "wpa_supplicant.conf"
            conf.write_text(re.sub("ctrl_interface=.*\n", "", text))
            command = [*inside, "eapol_test", "-c", str(conf), "-s", SECRET, "-t", str(WAIT)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            assert done.stdout.rstrip().endswith(("SUCCESS", "FAILURE")), done.stdout[-2000:] + done.stderr
            return done.returncode == 0, done.stdout

        yield authenticate
    finally:
        process.terminate()
        process.wait(WAIT)


def missing() -> str:
    """Return why the exchange cannot be tested here, or nothing."""
    if absent := [program for program in ("eapol_test", *SERVERS) if not shutil.which(program, path=PATH)]:
        return f"{' and '.join(absent)} missing: `make radius` installs eapoltest, hostapd and freeradius"
    alone = subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True, check=False)
    return "this computer allows no network namespace: run pytest as root" if alone.returncode else ""


METHODS = ["peap", "ttls-mschapv2", "ttls-pap", "tls"]
CERTIFICATE_ERROR = r"CTRL-EVENT-EAP-TLS-CERT-ERROR reason=\d+ depth=\d .* err='(.*)'"


@pytest.fixture(scope="module", params=SERVERS)
def authenticate(
    request: pytest.FixtureRequest, school: School, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Authenticate]:
    folder = tmp_path_factory.mktemp("authenticator") / request.param
    with authenticator(folder, school.authority, request.param) as authenticate:
        yield authenticate


def prepare(card: Card, school: School, method: str, **settings: str) -> None:
    """Boot a card with a network of this method, with its right certificates and password unless others are given."""
    card.write("boot/firmware/pi07.p12", school.authority.p12("pi07", "of the file"))
    card.boot(client(**settings) if method == "tls" else network(method=method, **settings))
    assert card.error == ""


def why_the_server_was_refused(authenticate: Authenticate, card: Card) -> str:
    """Return the reason. The card must have refused it before it sent a secret."""
    accepted, log = authenticate(card)
    assert not accepted
    found = re.search(CERTIFICATE_ERROR, log)
    assert found
    assert "Phase 2" not in log, "a secret would have been sent"
    return found[1]


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("method", METHODS)
class TestExchange:
    """With a real authenticator, by each method."""

    def test_the_right_secret_is_accepted(
        self, card: Card, school: School, authenticate: Authenticate, method: str
    ) -> None:
        prepare(card, school, method)
        accepted, log = authenticate(card)
        assert accepted
        assert "CTRL-EVENT-EAP-SUCCESS" in log

    def test_a_wrong_secret_is_refused(
        self, card: Card, school: School, authenticate: Authenticate, method: str
    ) -> None:
        if method == "tls":
            card.write("boot/firmware/other.p12", school.other.p12("pi07", "of the file"))
            prepare(card, school, method, client_certificate="other.p12")
        else:
            prepare(card, school, method, password="wrong")
        accepted, log = authenticate(card)
        assert not accepted
        assert "CTRL-EVENT-EAP-FAILURE" in log
        assert not re.search(CERTIFICATE_ERROR, log), "the server is the right one"

    @pytest.mark.parametrize("ca", ["other-ca.pem", "system"])
    def test_a_server_of_another_authority_is_refused(
        self, card: Card, school: School, authenticate: Authenticate, method: str, ca: str
    ) -> None:
        prepare(card, school, method, ca_certificate=ca)
        reason = why_the_server_was_refused(authenticate, card)
        assert "certificate in certificate chain" in reason or "local issuer" in reason

    @pytest.mark.parametrize("domain", ["chool.example", "a.radius.school.example"])
    def test_a_server_of_another_name_is_refused(
        self, card: Card, school: School, authenticate: Authenticate, method: str, domain: str
    ) -> None:
        prepare(card, school, method, domain=domain)
        assert why_the_server_was_refused(authenticate, card) == "Domain suffix mismatch"

    def test_the_end_of_the_servers_name_is_enough(
        self, card: Card, school: School, authenticate: Authenticate, method: str
    ) -> None:
        prepare(card, school, method, domain="School.example")
        assert authenticate(card)[0]

    def test_an_unchecked_server_is_accepted_where_the_teacher_says_so(
        self, card: Card, school: School, authenticate: Authenticate, method: str
    ) -> None:
        prepare(card, school, method, ca_certificate="unchecked", domain="")
        assert authenticate(card)[0]

    def test_a_pi_whose_clock_is_behind_gets_in(self, card: Card, school: School, tmp_path: Path, method: str) -> None:
        prepare(card, school, method)
        with authenticator(tmp_path / "hostapd", school.authority, "hostapd", "future") as authenticate:
            assert authenticate(card)[0]


# ---------------------------------------------------------------------------------------------------------------------
# Certificates and keys in files


def client_of(card: Card) -> list[str]:
    """Return the certificates and keys that the Pi keeps for itself, without their line ends."""
    (file,) = (card.root / "etc/wpa_supplicant").glob("*-client.pem")
    assert file.stat().st_mode & 0o777 == 0o600
    return re.findall("-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----", file.read_text())


@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["of today", "as Windows made them for long"])
def test_a_p12_file_is_opened(card: Card, school: School, options: tuple[str, ...]) -> None:
    card.write("boot/firmware/pi 07.pfx", school.authority.p12("pi07", "of the file", *options))
    card.boot(client(client_certificate="pi 07.pfx"))
    assert card.error == ""
    own, chain, key = client_of(card)
    folder = school.authority.folder
    assert own == (folder / "pi07.pem").read_text().strip()
    assert chain == school.authority.pem.read_text().strip()
    assert openssl("pkey", "-pubout", text=f"{key}\n") == openssl("pkey", "-pubout", "-in", folder / "pi07.key")


@pytest.mark.parametrize("password", ["", "of the file"])
def test_a_certificate_and_its_key_are_read(card: Card, school: School, password: str) -> None:
    folder = school.authority.folder
    card.write("boot/firmware/pi07.pem", (folder / "pi07.pem").read_bytes())
    key = (folder / "pi07.key").read_text()
    if password:
        key = openssl("pkcs8", "-topk8", "-in", folder / "pi07.key", "-passout", "stdin", text=password)
    card.write("boot/firmware/pi07.key", key)
    card.boot(client(password, client_certificate="pi07.pem", client_key="pi07.key"))
    assert card.error == ""
    assert len(client_of(card)) == 2
    assert (card.root / "boot/firmware/pi07.pem").exists()
    assert not (card.root / "boot/firmware/pi07.key").exists()


def test_an_authority_may_be_der_as_windows_exports_it(card: Card, school: School) -> None:
    pem = school.authority.pem
    openssl("x509", "-in", pem, "-outform", "DER", "-out", card.root / "boot/firmware/school.cer")
    card.boot(network(ca_certificate="school.cer"))
    assert card.error == ""
    (file,) = (card.root / "etc/wpa_supplicant").glob("*-ca.pem")
    assert file.read_text() == pem.read_text()
    card.boot(f'{HEAD}ssid = "Home"\n')
    assert not list((card.root / "etc/wpa_supplicant").glob("*.pem")), "its network is gone"


def test_the_hash_is_that_of_mschapv2(card: Card) -> None:
    """With the example of RFC 2759, 9.2."""
    card.boot(network(identity="User", password="clientPass"))
    assert "\tpassword=hash:44ebba8d5312b8d611474411f56989ae\n" in card.read(CONF)


def test_text_cannot_become_a_setting(card: Card) -> None:
    """Names and passwords are written in hexadecimal."""
    hostile = '"}"#\\n psk=#'
    card.boot(network(method="ttls-pap", identity=hostile, password=hostile))
    assert card.error == ""
    text = card.read(CONF)
    assert hostile not in text
    assert text.count(hostile.encode().hex()) == 4


@pytest.mark.slow
@as_root
def test_the_next_boot_recovers_from_a_power_cut_at_any_step(tmp_path: Path, school: School) -> None:
    """At the first boot, with all kinds of settings. Then no secret is left on the small partition."""
    p12, steps = school.authority.p12("pi07", "of the file"), 0
    tls = client().partition("[[mynn.wlan]]")[2]
    while True:
        card = Card(tmp_path / str(steps))
        card.write("boot/firmware/school-ca.pem", school.authority.pem.read_bytes())
        card.write("boot/firmware/pi07.p12", p12)
        card.write(SETTINGS, f"{ALL}\n[[mynn.wlan]]{tls}")
        if cut_boot(card, steps):
            break
        if starts_at_boot(card):
            card.boot()
        assert_all_applied(card, networks=4)
        assert not starts_at_boot(card)
        assert not list(card.root.rglob("*.new"))
        assert not (card.root / "boot/firmware/pi07.p12").exists()
        assert len(client_of(card)) == 3
        steps += 3  # each takes a second
    assert steps > 60
    for path, (mode, _, content) in card.files().items():
        assert b"of the file" not in content and b"marigold7" not in content, path
        assert b"PRIVATE KEY" not in content or mode & 0o777 == 0o600, path


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes

BAD: dict[str, tuple[str, str]] = {
    "no method": (network(method=""), "method: write peap, ttls-mschapv2, ttls-pap, tls"),
    "ttls": (network(method="ttls"), "method: write peap, ttls-mschapv2"),
    "no identity": (network(identity=""), "identity: the user name"),
    "long identity": (network(identity="a" * 254), "at most 253 characters"),
    "no password": (network(password=""), "password: the password of the identity"),
    "a long password": (network(password="a" * 129), "at most 128 characters"),
    "no authority": (network(ca_certificate=""), "anybody could set up a network of this name and learn"),
    "authority elsewhere": (network(ca_certificate="../school-ca.pem"), "ca_certificate: without it, anybody"),
    "a file of the Pi's": (network(ca_certificate="config.txt"), "ca_certificate: without it, anybody"),
    "authority missing": (network(ca_certificate="x.pem"), "x.pem is missing. It belongs beside rpi-preseed.toml"),
    "a link": (network(ca_certificate="link.pem"), "link.pem is missing"),
    "a server's certificate": (network(ca_certificate="pi07.pem"), "not the certificate of an authority (CA)"),
    "an empty file": (network(ca_certificate="empty.pem"), "empty or far too long"),
    "no domain": (network(domain=""), "domain: the name in the certificate of the school's server"),
    "a URL": (network(domain="https://school.example"), "domain: the name in the certificate"),
    "a top level": (network(domain="example"), "domain: the name in the certificate"),
    "two domains": (network(domain="a.example;b.example"), "domain: the name in the certificate"),
    "unchecked, with a domain": (network(ca_certificate="unchecked"), "domain: this Pi does not have such a setting"),
    "tls without a client": (client(client_certificate=""), "tls needs the Pi's own certificate"),
    "another password": (client("another"), "pi07.p12 cannot be opened with this password"),
    "no key": (client("", client_certificate="pi07.pem"), "or does not hold the Pi's certificate with its key"),
    "another's key": (client("", client_certificate="pi07.pem", client_key="other.key"), "other.key cannot be opened"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
def test_a_mistake_is_explained(card: Card, school: School, text: str, sentence: str) -> None:
    folder = school.authority.folder
    card.write("boot/firmware/pi07.p12", school.authority.p12("pi07", "of the file"))
    card.write("boot/firmware/pi07.pem", (folder / "pi07.pem").read_bytes())
    card.write("boot/firmware/other.key", (school.other.folder / "pi07.key").read_bytes())
    card.write("boot/firmware/empty.pem", "")
    (card.root / "boot/firmware/link.pem").symlink_to(school.authority.pem)
    card.boot(text)
    assert sentence in card.error.split("\r\n")[2]
    assert PASSWORD not in card.error
    assert (card.root / CONF).exists() == card.error.startswith("rpi-preseed.toml was applied, except")
    assert (card.root / "boot/firmware/pi07.p12").exists()
