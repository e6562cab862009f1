"""The classroom's certificate authority is trusted only for the classroom's names."""

from __future__ import annotations

import os
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ansible_collections.mynn.pi.plugins.filter.name_constraints import outside_constraints
from tests.support.programs import ANSIBLE_PLAYBOOK, ROOT

USUAL = yaml.safe_load((ROOT / "roles/jupyter/defaults/main.yml").read_text())["jupyter_ca_permitted"]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: jupyter, tasks_from: certificate.yml}
"""


def test_only_the_classrooms_names_are_permitted() -> None:
    inside = ["DNS:pi01.local", "DNS:LOCAL", "IP:192.168.1.52", "IP:10.1.2.3", "IP:fd00::7"]
    outside = ["DNS:bank.example", "DNS:notlocal", "DNS:local.example", "IP:8.8.8.8", "IP:2001:db8::1"]
    assert outside_constraints([*inside, *outside], USUAL) == outside
    assert outside_constraints(["DNS:pi01.pis.school.example"], [*USUAL, "DNS:school.example"]) == []


def make_certificate(folder: Path, host: str, *, address: str = "") -> subprocess.CompletedProcess[str]:
    """Make a Pi's certificate, as the role does on the control node."""
    (folder / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    (folder / "play.yml").write_text(PLAY)
    (folder / "inventory.ini").write_text(f"{host} {f'ansible_host={address}' if address else ''}\n")
    command = [ANSIBLE_PLAYBOOK, "-i", str(folder / "inventory.ini"), str(folder / "play.yml")]
    environment = {**os.environ, "ANSIBLE_STRATEGY": "linear"}
    return subprocess.run(
        [*command, "-e", f"jupyter_ca={folder / 'ca'}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authority and a certificate for pi01."""
    folder = tmp_path_factory.mktemp("authority")
    done = make_certificate(folder, "pi01.local", address="192.168.1.52")
    assert done.returncode == 0, done.stdout
    return folder


def connect(folder: Path, certificate: Path, name: str) -> None:
    """Do a TLS handshake as a browser that trusts only the classroom's authority. SSLError: the browser refuses."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, certificate.with_suffix(".key"))
    browser = ssl.create_default_context(cafile=str(folder / "ca/classroom-ca.crt"))
    to_server, from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        browser.wrap_bio(from_server, to_server, server_hostname=name),
        server.wrap_bio(to_server, from_server, server_side=True),
    ]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not ends


def forge(folder: Path, name: x509.GeneralName) -> Path:
    """Make a certificate for another name, as somebody who stole the authority's key could."""
    authority = x509.load_pem_x509_certificate((folder / "ca/classroom-ca.crt").read_bytes())
    stolen_key = load_pem_private_key((folder / "ca/classroom-ca.key").read_bytes(), None)
    assert isinstance(stolen_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(stolen_key.public_key()), critical=False)
        .sign(stolen_key, SHA256())
    )
    path = folder / "forged.crt"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return path


def test_the_pis_certificate_is_trusted(folder: Path) -> None:
    for name in ("pi01.local", "192.168.1.52"):
        connect(folder, folder / "ca/pi01.local.crt", name)


def test_a_stolen_key_can_forge_a_pi_but_not_a_bank(folder: Path) -> None:
    connect(folder, forge(folder, x509.DNSName("pi99.local")), "pi99.local")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        connect(folder, forge(folder, x509.DNSName("bank.example")), "bank.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        connect(folder, forge(folder, x509.IPAddress(ip_address("8.8.8.8"))), "8.8.8.8")


def test_a_pi_outside_the_constraints_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    done = make_certificate(tmp_path, "pi01", address="pi01.school.example")
    assert done.returncode != 0
    output = " ".join(done.stdout.split())
    assert "may not vouch for DNS:pi01.school.example. Add the domain or network to jupyter_ca_permitted" in output
    assert not (tmp_path / "ca").exists()
