"""A Pi's settings on its card: rpi-preseed.toml, as Raspberry Pi Imager writes it since 2.0.11, with a table of ours.

The Pi applies the file at its first boot, and `make cards` checks what it writes: both with this module. The file is
untrusted. Every text in it is one line, and has a closed pattern or a largest length; of a file with a mistake, nothing
is used. What Imager's format (of version 1) lacks is in our own table:

    [mynn]                    password, of the notebooks
    [[mynn.wlan]]             more Wi-Fi networks, with the settings of [wlan]

Every network may also ask for a user name or a certificate: WPA2- and WPA3-Enterprise, 802.1X. Those settings are named
as in Android's Wi-Fi settings, since schools' instructions are written in these words.

A Pi has this file outside of any package, so it imports the standard library only; and slow modules where it uses them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

NAME = "rpi-preseed.toml"
LARGEST = 64 * 1024  # bytes of the file, which has a few dozen lines, and of a certificate's file
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"  # of Debian's package ca-certificates

# Of libcrypt: yescrypt, SHA-256 and SHA-512, which Imagers write.
HASH = (
    r"\$y\$[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43}"
    r"|\$5\$(?:rounds=[1-9]\d{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(?:rounds=[1-9]\d{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
)
HOST = r"(?!localhost$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Like nothing that the Pi itself needs, since a file with a secret is deleted.
CERTIFICATE_FILE = r"\w[\w .()+-]{0,99}\.(?i:pem|crt|cer|der|p12|pfx|key)"
DOMAIN = r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?"
METHODS = ("peap", "ttls-mschapv2", "ttls-pap", "tls")
ENTERPRISE = {
    *("method", "identity", "anonymous_identity", "ca_certificate", "domain"),
    *("client_certificate", "client_key"),
}
BLOCK = re.compile(r"-----BEGIN (?P<what>[A-Z ]+)-----.*?-----END (?P=what)-----\n?", re.S)
KINDS = {
    str: 'this is a text. Write it between quotation marks: "..."',
    bool: "this is true or false, without quotation marks.",
    list: 'this is a list of texts: ["...", "..."]',
}


class Table:
    """A table of the file, whose values are taken out one by one."""

    def __init__(self, preseed: Preseed, name: str, entries: Any) -> None:
        self.preseed, self.name = preseed, name
        self.entries: dict[str, Any] = dict(entries) if isinstance(entries, dict) else {}
        if not isinstance(entries, dict):
            place = printable(name.strip("[]"))
            preseed.mistakes.append(
                f"{place}: a setting stands below the line with its table's name, such as [system]."
            )

    def wrong(self, key: str, sentence: str) -> None:
        """Record a mistake. No sentence may quote a password: others can read it."""
        self.preseed.mistakes.append(f"{self.name} {key}: {sentence}")

    def take(self, key: str, kind: type = str, pattern: str = ".*", sentence: str = "") -> Any:
        """Take a value out. None: it is not there, or not of this kind and pattern, which is a mistake."""
        value = self.entries.pop(key, None)
        texts = value if isinstance(value, list) else [value]
        if value is None:
            return None
        if type(value) is not kind or (kind is list and any(type(text) is not str for text in texts)):
            self.wrong(key, KINDS[kind])
        elif not all(text.isprintable() for text in texts if isinstance(text, str)):
            self.wrong(key, "this is one line of letters, digits and signs.")
        elif isinstance(value, str) and not re.fullmatch(pattern, value):
            self.wrong(key, sentence)
        else:
            return value
        return None

    def need(self, key: str, pattern: str, sentence: str) -> str:
        """Take a text out that must be there; nothing if it is wrong."""
        if key not in self.entries:
            self.wrong(key, sentence)
        return self.take(key, str, pattern, sentence) or ""


class Preseed:
    """The `settings` of a file, and the `mistakes` in it. `notes` name what a Pi does not have; the rest is applied.

    files: those beside it that it names, with their contents. secret_files: of these, the ones that hold a secret, and
    must leave the card once this was applied.
    beside: the folder with the certificates that it names. zoneinfo: the time zones. memory: a folder that is on no
    disk. taken: the names of accounts and groups that there are.
    """

    def __init__(
        self,
        content: bytes,
        beside: Path,
        zoneinfo: Path = Path("/usr/share/zoneinfo"),
        memory: Path = Path("/run"),
        taken: Collection[str] = (),
    ) -> None:
        self.beside, self.zoneinfo, self.memory, self.taken = beside, zoneinfo, memory, taken
        self.mistakes: list[str] = []
        self.notes: list[str] = []
        self.files: dict[str, bytes] = {}
        self.secret_files: list[str] = []
        entries = self._parse(content)
        version = str(entries.pop("config_version", "1.0"))
        if not re.fullmatch(r"1(\.\d+)?", version):
            self.mistakes.append("config_version: this Pi knows version 1 only.")
            entries = {}
        entries.pop("debug", None)
        self.tables = {name: Table(self, f"[{name}]", value) for name, value in entries.items()}
        found = {**self._account(), **self._network_settings(), **self._others()}
        self.settings: dict[str, Any] = {key: value for key, value in found.items() if value not in (None, [])}
        left = [
            f"{table.name} {key}" for table in self.tables.values() for key, value in table.entries.items() if value
        ]
        self.notes += [f"{printable(place)}: this Pi does not have such a setting." for place in left[:20]]

    def _parse(self, content: bytes) -> dict[str, Any]:
        """Return the tables of the file, in any encoding that editors use."""
        if not content:
            return {}
        import tomllib

        if len(content) > LARGEST:
            self.mistakes.append("the file is far too long. Start again with a new one.")
            return {}
        try:
            return tomllib.loads(content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"))
        except UnicodeDecodeError:
            self.mistakes.append("the file is not saved as UTF-8. In Notepad choose Save as, and Encoding: UTF-8.")
        except (ValueError, RecursionError) as error:
            line = re.search(r"\(at line (\d+),", str(error))
            where = f"line {line[1]}" if line else "the file"
            self.mistakes.append(
                f"{where}: check the quotation marks, brackets and equals signs here. A setting looks like this: "
                'hostname = "pi07"'
            )
        return {}

    def _table(self, name: str) -> Table:
        return self.tables.setdefault(name, Table(self, f"[{name}]", {}))

    def _others(self) -> dict[str, Any]:
        """Return name, time zone, keyboard layout and the notebooks' password."""
        system, locale = self._table("system"), self._table("locale")
        if isinstance(host := system.entries.get("hostname"), str):
            system.entries["hostname"] = host.lower()  # Imager allows capitals; on a network they make no difference
        zone = locale.take("timezone")
        if zone is not None and not (re.fullmatch(r"[\w+-]+(/[\w+-]+)*", zone) and is_zone(self.zoneinfo / zone)):
            locale.wrong("timezone", f"there is no time zone {zone!r}. Write continent and city: Europe/London")
        return {
            "hostname": system.take(
                "hostname", str, HOST, "a name has at most 63 letters from a to z, digits and hyphens, such as pi07."
            ),
            "timezone": zone,
            "keymap": locale.take("keymap", str, "[a-z]{2,8}", "a layout is a few small letters: gb, us or de."),
            "password": self._password(self._table("mynn")),
        }

    def _password(self, table: Table) -> str | None:
        value: str | None = table.take("password", str, ".{8,64}", "a password has 8 to 64 characters.")
        return value

    def _account(self) -> dict[str, Any]:
        """Return the account's name and password, and who may log in."""
        user, ssh = self._table("user"), self._table("ssh")
        name = user.take(
            "name", str, "[a-z_][a-z0-9_-]{0,31}", "a name has at most 32 letters from a to z, digits, - and _."
        )
        if name in self.taken:
            user.wrong("name", f"this Pi has another account or group {name}. Choose another name.")
        settings: dict[str, Any] = {"account": name}
        if user.take("password_encrypted", bool):
            sentence = "this is not a hashed password, or not all of it. Let Imager make it again."
            settings["account_hash"] = user.take("password", str, HASH, sentence)
        else:
            settings["account_password"] = self._password(user)
        user.take("passwordless_sudo", bool)  # it may use sudo without a password in any case
        groups = user.take("groups", list) or []
        self.notes += [f"[user] groups: {printable(group)} is left out." for group in groups if group != "sudo"]
        keys = ssh.take("authorized_keys", list) or []
        if not all(fingerprint(key) for key in keys):
            ssh.wrong(
                "authorized_keys",
                "there is something that is not a public SSH key, or not all of it. A key is the one long line of the "
                "file that ends in .pub. (Never of the other file, the private key, which nobody but you may have.)",
            )
        if ssh.take("enabled", bool) is False:
            self.notes.append("[ssh] enabled: SSH stays on: the Pi is managed over it.")
        if ssh.take("password_authentication", bool) not in (None, not keys):
            self.notes.append(
                "[ssh] password_authentication: SSH accepts no passwords as soon as there are keys, and only then."
            )
        return settings | {"ssh_keys": keys}

    # --- Wi-Fi

    def _network_settings(self) -> dict[str, Any]:
        """Return the networks, and the country, by whose rules the radio works."""
        wlan, ours = self._table("wlan"), self._table("mynn")
        more = ours.entries.pop("wlan", [])
        if not isinstance(more, list):
            ours.wrong("wlan", "write [[mynn.wlan]], with two brackets, for each further network.")
            more = []
        country = wlan.take("country")
        listed = [Table(self, f"[[mynn.wlan]] {number}", entries) for number, entries in enumerate(more, 1)]
        self.tables |= {table.name: table for table in listed}
        tables = [wlan, *listed] if {"ssid", "ssid_hex"} & wlan.entries.keys() else listed
        networks = [self._network(table) for table in tables]
        if networks and country not in self._countries():
            hint = "GB" if country == "UK" else "GB, US or DE"
            wlan.wrong(
                "country", f"the Wi-Fi needs its country, by two capitals such as {hint}: it decides on channels."
            )
        return {"wifi": {"country": country, "networks": networks}} if networks else {}

    def _countries(self) -> set[str]:
        lines = (self.zoneinfo / "iso3166.tab").read_text(encoding="utf-8").splitlines()
        return {line[:2] for line in lines if not line.startswith("#")}

    def _network(self, table: Table) -> dict[str, Any]:
        """Return a network: ssid (in hexadecimal) and hidden; psk, if it has a key; more if it asks for a user name."""
        name, octets = (
            table.take("ssid") or "",
            table.take("ssid_hex", str, "[0-9A-Fa-f]*", "write hexadecimal digits."),
        )
        ssid = (octets or name.encode().hex()).lower()
        if not 2 <= len(ssid) <= 64 or len(ssid) % 2:
            table.wrong("ssid", "a network's name has 1 to 32 characters (an ä or é counts as two).")
            return {}
        network: dict[str, Any] = {"ssid": ssid, "hidden": bool(table.take("hidden", bool))}
        if ENTERPRISE & table.entries.keys():
            return network | self._enterprise(table)
        table.take("key_mgmt", str, "none|wpa-psk", "a Pi joins networks with WPA2, WPA2 and WPA3, or open ones.")
        if table.take("password_encrypted", bool):
            password = table.need("password", "[0-9a-f]{64}", "a Wi-Fi key has 64 hexadecimal digits.")
        else:
            password = table.take("password") or ""
        if password and not (8 <= len(password.encode()) <= 63 or re.fullmatch("[0-9a-f]{64}", password)):
            table.wrong("password", "a Wi-Fi password has 8 to 63 characters.")
            return {}
        return network | {"psk": wifi_key(bytes.fromhex(ssid), password)}

    def _enterprise(self, table: Table) -> dict[str, Any]:
        """Return what wpa_supplicant needs for a network that asks for a user name or a certificate."""
        method = table.need(
            "method",
            "|".join(METHODS),
            f"write {', '.join(METHODS)}. (Schools call the second part of ttls its inner or phase 2.)",
        )
        # As long as RADIUS allows (RFC 2865, 5).
        identity = table.need("identity", ".{1,253}", "the user name, of at most 253 characters.")
        anonymous = table.take("anonymous_identity", str, ".{1,253}", "a name of at most 253 characters.")
        network = {"method": method, "identity": identity, "anonymous_identity": anonymous or ""}
        network |= self._authority(table)
        if method == "tls":
            return network | {"client": self._client(table)}
        password = table.need("password", ".{1,128}", "the password of the identity, of at most 128 characters.")
        return network | {"password": (method != "ttls-pap" and nt_hash(password)) or password.encode().hex()}

    def _authority(self, table: Table) -> dict[str, str]:
        """Return how the Pi recognises the school's server: ca (PEM, a path, or nothing) and domain."""
        name = table.need(
            "ca_certificate",
            f"system|unchecked|{CERTIFICATE_FILE}",
            "without it, anybody could set up a network of this name and learn the password. Copy the school's beside "
            'this file, and write its name: "school-ca.pem"',
        )
        if name == "unchecked":
            return {"ca": "", "domain": ""}
        # Whole labels: wpa_supplicant compares from the right, so a school's domain serves for all of its servers.
        if isinstance(domain := table.entries.get("domain"), str):
            table.entries["domain"] = domain.lower()
        sentence = 'the name in the certificate of the school\'s server, or its end: "radius.school.example"'
        domain = table.need("domain", DOMAIN, sentence)
        if name == "system":
            return {"ca": SYSTEM_CA, "domain": domain}
        content = self._file(table, "ca_certificate", name)
        authorities = certificates(content) if content else ""
        if content and not is_authority(authorities):
            table.wrong("ca_certificate", f"{name} is not the certificate of an authority (CA), PEM or DER.")
        return {"ca": authorities, "domain": domain}

    def _client(self, table: Table) -> str:
        """Return the Pi's certificates and key, as PEM."""
        sentence = 'tls needs the Pi\'s own certificate, a file beside this one: "pi07.p12"'
        name = table.need("client_certificate", CERTIFICATE_FILE, sentence)
        key = table.take("client_key", str, CERTIFICATE_FILE, 'the name of a file beside this one: "pi07.key"')
        password = table.take("password", str, ".{0,128}", "it has at most 128 characters.") or ""
        content = self._file(table, "client_certificate", name)
        secret = self._file(table, "client_key", key) if key else b""
        if not content or (key and not secret):
            return ""
        pem = client_pem(content, secret, password, self.memory)
        if not pem:
            table.wrong(
                "client_key" if key else "client_certificate",
                f"{key or name} cannot be opened with this password, or does not hold the Pi's certificate with its "
                "key. It is a .p12 or .pfx file; or a certificate and a client_key, both PEM files.",
            )
        self.secret_files.append(key or name)
        return pem

    def _file(self, table: Table, key: str, name: str | None) -> bytes:
        """Return a file beside this one; nothing if it cannot be used."""
        path = self.beside / (name or "")
        if not name:
            return b""
        if path.is_symlink() or not path.is_file():
            table.wrong(key, f"{name} is missing. It belongs beside {NAME}; `make cards` looks in cards_certificates.")
        elif not 0 < path.stat().st_size <= LARGEST:
            table.wrong(key, f"{name} is empty or far too long for a certificate.")
        else:
            self.files[name] = path.read_bytes()
        return self.files.get(name, b"")


def printable(text: str) -> str:
    """Return a name from the file, for a message."""
    return "".join(char if char.isprintable() else "?" for char in text[:60])


def is_zone(path: Path) -> bool:
    """Return whether a file describes a time zone."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"TZif"


def fingerprint(key: str) -> str:
    """Return a public key's fingerprint, or nothing if it is not a key."""
    command = ["ssh-keygen", "-l", "-f", "-"]
    done = subprocess.run(command, input=f"{key}\n", capture_output=True, text=True, check=False)
    return done.stdout.split()[1] if done.returncode == 0 else ""


def wifi_key(ssid: bytes, password: str) -> str:
    """Return the key that WPA2 derives from a network's password; nothing for an open network, a key for itself."""
    import hashlib

    if not password or re.fullmatch("[0-9a-f]{64}", password):
        return password
    return hashlib.pbkdf2_hmac("sha1", password.encode(), ssid, 4096, 32).hex()


# --- Certificates and keys


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
