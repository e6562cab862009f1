"""Wi-Fi that asks for a user name or a certificate, as many schools have it: WPA2- and WPA3-Enterprise, also 802.1X.

first_boot.py imports this for a network with a `method` in classroom.yml. The settings have the names that Android's
Wi-Fi settings have, since schools' instructions are written in those words. What is written for wpa_supplicant is
documented in the example file of its package, wpa_supplicant.conf (2.10).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

Node = Any  # yaml's, which has no types
Classroom = Any  # first_boot.py's
Settings = dict[str, Any]

# Each setting, with an example.
SETTINGS = {
    "method": "peap",
    "identity": '"pi@school.example"',
    "anonymous_identity": '"anonymous@school.example"',
    "ca_certificate": "school-ca.pem",
    "domain": "radius.school.example",
    "client_certificate": "pi07.p12",
    "client_key": "pi07.key",
}
# wpa_supplicant's words for each method: outside, inside the tunnel.
METHODS = {
    "peap": ("PEAP", "auth=MSCHAPV2"),
    "ttls-mschapv2": ("TTLS", "auth=MSCHAPV2"),
    "ttls-pap": ("TTLS", "auth=PAP"),
    "tls": ("TLS", ""),
}
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"  # of Debian's package ca-certificates
KEPT = "(kept in this Pi)"  # what classroom.yml says instead of a password that was read
LARGEST = 64 * 1024  # bytes of a certificate's file, which has a few thousand
BLOCK = re.compile(r"-----BEGIN (?P<what>[A-Z ]+)-----.*?-----END (?P=what)-----\n?", re.S)


class Network:
    """Check a network of this kind. A mistake is recorded in `classroom`, and nothing of it is used then."""

    def __init__(self, classroom: Classroom, node: Node, entries: dict[str, Node], root: Path) -> None:
        self.classroom, self.node, self.entries = classroom, node, entries
        self.beside = root / "boot/firmware"  # where classroom.yml is
        self.kept = root / "etc/wpa_supplicant"  # as an earlier boot left it
        self.memory = root / "run"  # what is here never reaches the card
        self.ssid = self.text("name").encode().hex()

    def text(self, name: str) -> str:
        """Return a setting, or nothing if it is not there."""
        return str(self.classroom.text(self.entries.get(name), name))

    def wrong(self, name: str, sentence: str) -> None:
        """Record a mistake in the line of a setting. If it is not there: in the network's, unless one is misspelt."""
        if name in self.entries or len(self.entries) == len(self.node.value):
            self.classroom.wrong(self.entries.get(name, self.node), sentence)

    def settings(self) -> Settings:
        """Return all that `lines` and `files` need."""
        method = self.text("method").lower()
        if method not in METHODS:
            sentence = "method is peap, ttls-mschapv2, ttls-pap or tls. Ask whoever runs the network."
            if method == "ttls":
                sentence = "write ttls-mschapv2 or ttls-pap: schools call the second part inner or phase 2."
            self.wrong("method", sentence)
            return {}
        found: Settings = {"method": method, "ssid": self.ssid}
        for name in ("identity", "anonymous_identity"):
            found[name] = self.text(name)
            if len(found[name].encode()) > 253:  # as RADIUS allows (RFC 2865, 5)
                self.wrong(name, f"{name} can have at most 253 characters.")
        if "identity" not in self.entries:
            self.wrong("identity", f"this network has no identity, the user name: {self.example('identity')}")
        found |= self.server()
        tls = method == "tls"
        for name in ("client_certificate", "client_key"):
            if name in self.entries and not tls:
                self.wrong(name, f"{name} is for method: tls only.")
        if tls:
            found |= self.client()
        else:
            found["password"] = self.password(method)
        if "password" in self.entries and self.text("password") != KEPT:
            self.classroom.read_once.append(self.entries["password"])
        return found

    def example(self, name: str) -> str:
        """Return an example of a setting's line."""
        return str(self.classroom.example(name))

    # --- the school's server

    def server(self) -> Settings:
        """Return how the Pi recognises the server: ca (PEM, a path or nothing) and domain."""
        name, domain = self.file_name("ca_certificate"), self.text("domain").lower()
        if "ca_certificate" not in self.entries:
            self.wrong(
                "ca_certificate",
                "this network has no ca_certificate, without which anybody could set up a network of this name and "
                f"learn the password. Copy the school's beside this file, and write {self.example('ca_certificate')}",
            )
            return {}
        if name.lower() == "unchecked":
            if "domain" in self.entries:
                self.wrong("domain", "without a ca_certificate, domain cannot be checked. Remove one of these lines.")
            return {"ca": "", "domain": ""}
        # Whole labels: wpa_supplicant compares from the right, so a school's domain serves for all of its servers.
        if not re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?", domain):
            self.wrong(
                "domain",
                "domain is the name in the certificate of the school's server, or the end of it: "
                f"{self.example('domain')}",
            )
        if name.lower() == "system":
            return {"ca": SYSTEM_CA, "domain": domain}
        content = self.file("ca_certificate", name) if name else b""
        authorities = certificates(content) if content else ""
        if content and not is_authority(authorities):
            self.wrong(
                "ca_certificate",
                f"{name} is not the certificate of an authority (CA). It is a file of its own, which ends in .pem, "
                ".crt or .cer; a server's or user's certificate does not do.",
            )
        return {"ca": authorities, "domain": domain}

    def file_name(self, setting: str) -> str:
        """Return a name of a file, or nothing."""
        name = self.text(setting)
        if not name or re.fullmatch(r"\w[\w .()+-]{0,99}", name):
            return name
        self.wrong(setting, f"{setting} is the name of a file beside classroom.yml: {self.example(setting)}")
        return ""

    def file(self, setting: str, name: str) -> bytes:
        """Return the content of a file beside classroom.yml."""
        path = self.beside / name
        if path.is_symlink() or not path.is_file():
            from difflib import get_close_matches

            there = [path.name for path in self.beside.iterdir() if path.is_file()]
            near = get_close_matches(name, there, 1)
            guess = f"Did you mean {near[0]}?" if near else "Copy it there: it is the folder that holds this file."
            self.wrong(setting, f"there is no file {name} beside classroom.yml. {guess}")
            return b""
        if not 0 < path.stat().st_size <= LARGEST:
            self.wrong(setting, f"{name} is empty or far too long for a certificate.")
            return b""
        return path.read_bytes()

    # --- the Pi's own secrets

    def password(self, method: str) -> str:
        """Return the password as wpa_supplicant reads it: the hash, which is enough for MSCHAPv2, or in hexadecimal."""
        if "password" not in self.entries:
            self.wrong("password", 'this network has no password: password: "that of the identity"')
            return ""
        if self.text("password") == KEPT:
            value = self.kept_password()
            if not value or (method == "ttls-pap" and value.startswith("hash:")):
                self.wrong("password", "this Pi does not have this password any more. Write it here again.")
            return value
        password = str(self.classroom.secret(self.entries["password"]))
        if len(password) > 128:
            self.wrong("password", f"this password has {len(password)} characters; it can have at most 128.")
        return (method != "ttls-pap" and nt_hash(password)) or password.encode().hex()

    def kept_password(self) -> str:
        """Return this network's password from the file that `lines` made, or nothing."""
        file = self.kept / "wpa_supplicant-wlan0.conf"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        found = re.search(rf"^\tssid={self.ssid}\n(?:\t.*\n)*?\tpassword=(\S+)$", text, re.M)
        return found[1] if found else ""

    def client(self) -> Settings:
        """Return the Pi's certificates and key (client, as PEM)."""
        certificate, key = self.file_name("client_certificate"), self.file_name("client_key")
        if "client_certificate" not in self.entries:
            sentence = f"method tls needs a client_certificate, the Pi's own: {self.example('client_certificate')}"
            self.wrong("client_certificate", sentence)
        if not certificate or ("client_key" in self.entries and not key):
            return {}
        setting, secret = ("client_key", key) if key else ("client_certificate", certificate)
        name, kept = f"# {secret}\n", self.kept / client_file(self.ssid)
        if not (self.beside / secret).exists() and kept.is_file():
            content = kept.read_text(encoding="utf-8")
            if content.startswith(name):
                return {"client": content}
        parts = [self.file("client_certificate", certificate), self.file("client_key", key) if key else b""]
        if not parts[0] or (key and not parts[1]):
            return {}
        password = ""
        if self.text("password") == KEPT:
            self.wrong("password", f"write the password of {secret} here again: the Pi reads this file anew.")
            return {}
        if "password" in self.entries:
            password = str(self.classroom.secret(self.entries["password"]))
        pem = client_pem(parts[0], parts[1], password, self.memory)
        if not pem:
            needed = "with this password" if password else "without a password"
            self.wrong(
                setting,
                f"{secret} cannot be opened {needed}, or does not hold the Pi's certificate with its key. "
                "It is a .p12 or .pfx file; or a certificate and a client_key, both PEM files.",
            )
        self.classroom.files_read_once.append(secret)
        return {"client": name + pem}


# ---------------------------------------------------------------------------------------------------------------------
# Certificates and keys


def openssl(*arguments: str, content: bytes = b"") -> bytes:
    """Return what openssl (which ca-certificates needs) makes of some input, or nothing if it cannot.

    A password is part of the input, so that it does not show in the list of processes.
    """
    done = subprocess.run(["openssl", *arguments], input=content, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def nt_hash(password: str) -> str:
    """Return NtPasswordHash (RFC 2759, 8.3) as wpa_supplicant reads it. OpenSSL has MD4 among its legacy algorithms."""
    made = openssl("dgst", "-md4", "-binary", "-provider", "legacy", content=password.encode("utf-16-le"))
    return f"hash:{made.hex()}" if made else ""


def certificates(content: bytes) -> str:
    """Return the certificates in a file, PEM or DER (as Windows exports them), as PEM."""
    text = content.decode("ascii", errors="replace").replace("\r\n", "\n")
    found = [block[0].rstrip("\n") for block in BLOCK.finditer(text) if block["what"] == "CERTIFICATE"]
    if not found and content[:1] == b"\x30":  # a DER sequence
        found = [openssl("x509", "-inform", "DER", content=content).decode().strip()]
    return "".join(f"{one}\n" for one in found if one)


def is_authority(pem: str) -> bool:
    """Return whether these certificates can be read, and may sign others."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return False
    return bool(context.get_ca_certs())


def client_pem(certificate: bytes, key: bytes, password: str, memory: Path) -> str:
    """Return a certificate with its chain and its key, opened, as PEM; nothing if they do not belong together."""
    import ssl
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(dir=memory) as place:
        file, secret = Path(place, "file"), f"{password}\n".encode()
        if not key and certificate[:1] == b"\x30":  # PKCS #12; -legacy: with the old ciphers of Windows too
            file.write_bytes(certificate)
            options = ["pkcs12", "-in", str(file), "-passin", "stdin", "-legacy"]
            own = openssl(*options, "-clcerts", "-noenc", content=secret)
            certificate, key = own + openssl(*options, "-cacerts", "-nokeys", content=secret), own
        file.write_bytes(key or certificate)
        opened = openssl("pkey", "-in", str(file), "-passin", "stdin", content=secret).decode()
        pem = certificates(certificate) + opened
        file.write_text(pem, encoding="ascii")
        try:  # does the key belong to the certificate?
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(file, password="")
        except (ssl.SSLError, ValueError):
            return ""
    return pem


# ---------------------------------------------------------------------------------------------------------------------
# For wpa_supplicant


FILES = "mynn-*.pem"  # those of all networks


def ca_file(ssid: str) -> str:
    """Return the name of the file with a network's authorities."""
    return f"mynn-{ssid}-ca.pem"


def client_file(ssid: str) -> str:
    """Return the name of the file with the Pi's certificate and key for a network."""
    return f"mynn-{ssid}-client.pem"


def files(network: Settings) -> dict[str, str]:
    """Return the content of each file that a network's lines name."""
    found = {client_file(network["ssid"]): network.get("client", "")}
    if network["ca"] != SYSTEM_CA:
        found[ca_file(network["ssid"])] = network["ca"]
    return {name: content for name, content in found.items() if content}


def lines(network: Settings, folder: str) -> list[str]:
    """Return a network's lines. Text is in hexadecimal, so that no character needs quoting."""
    outer, inner = METHODS[network["method"]]
    common = [f"\teap={outer}", f"\tidentity={network['identity'].encode().hex()}"]
    if network["anonymous_identity"]:
        common += [f"\tanonymous_identity={network['anonymous_identity'].encode().hex()}"]
    if inner:
        common += [f'\tphase2="{inner}"', f"\tpassword={network['password']}"]
    else:
        file = f'"{folder}/{client_file(network["ssid"])}"'
        common += [f"\tclient_cert={file}", f"\tprivate_key={file}"]
    if ca := network["ca"]:
        file = ca if ca == SYSTEM_CA else f"{folder}/{ca_file(network['ssid'])}"
        # A Pi has no clock: until it is connected, it lives in the past, when today's certificate was not yet valid.
        common += [f'\tca_cert="{file}"', '\tphase1="tls_disable_time_checks=1"']
        common += [f'\tdomain_suffix_match="{network["domain"]}"']
    common += ["\tscan_ssid=1"] * network["hidden"]
    made = []
    # Where an access point requires protected management frames (WPA3), the second; else the first, without them: the
    # Wi-Fi of the Zero W and 3B cannot protect them, and fails where they are offered (FalconChristmas/fpp#2953).
    for key_mgmt in (["\tkey_mgmt=WPA-EAP"], ["\tkey_mgmt=WPA-EAP-SHA256", "\tieee80211w=2"]):
        made += ["network={", f"\tssid={network['ssid']}", *key_mgmt, *common, "}"]
    return made
