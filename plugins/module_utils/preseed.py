"""Parser of rpi-preseed.toml, a Pi's settings on its card, as Raspberry Pi Imager writes them since 2.0.11.

The Pi applies the file at its first boot, and `make cards` checks the files it writes: both use this module. The file
is untrusted: every text in it is one line, and has a closed pattern or a largest length. A mistake costs only its own
setting: Imager lets some through, and a Pi without Wi-Fi could not be reached. Our own table adds to Imager's format
(version 1):

    [mynn]                    password, of the notebooks, for all students
    [mynn.passwords]          each student's password, by name, if several share the Pi
    [[mynn.wlan]]             more Wi-Fi networks, with the settings of [wlan]

Every network may also ask for a user name: WPA2- and WPA3-Enterprise, 802.1X. These settings are named as in Android's
Wi-Fi settings, since schools' instructions use the same words.

On a Pi this module is outside any package, so it imports the standard library only, and slow modules only when needed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

NAME = "rpi-preseed.toml"
MOST_DOTS = 100  # most per line; a setting's name has one or two
LARGEST = 64 * 1024  # most bytes of the file, usually a few dozen lines, and of a certificate
ZONES = Path("/usr/share/zoneinfo")
WIFI = "/etc/wpa_supplicant"  # folder on the Pi; a certificate in it is called mynn-NAME
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"  # from Debian's package ca-certificates

# Password hashes that versions of Imager write, as in libcrypt: yescrypt, SHA-256 and SHA-512.
HASH = (
    r"\$y\$[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43}"
    r"|\$5\$(?:rounds=[1-9]\d{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(?:rounds=[1-9]\d{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
)
CONTROLS = r"[\0-\x1f\x7f-\x9f\u2028\u2029]"  # including line ends
HOST = r"(?ai)(?!localhost$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # networks do not distinguish capitals
WIFI_KEY = "[0-9A-Fa-f]{64}"
CERTIFICATE_FILE = r"\w[\w .()+-]{0,99}\.(?i:pem|crt|cer|der)"
DOMAIN = r"(?ai)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?"
PASSWORD = ".{8,64}", "a password has 8 to 64 characters."
# EAP methods of a school's Wi-Fi with user names → wpa_supplicant's words for outside and inside the tunnel.
METHODS = {"peap": ("PEAP", "MSCHAPV2"), "ttls-mschapv2": ("TTLS", "MSCHAPV2"), "ttls-pap": ("TTLS", "PAP")}
ENTERPRISE = {"method", "identity", "anonymous_identity", "ca_certificate", "domain"}
# Each of these networks is written twice: without protected management frames, and with them, as WPA3 requires. The
# Wi-Fi of the Zero W and 3B cannot protect them, and fails where they are offered (FalconChristmas/fpp#2953).
ENTERPRISE_KEYS = ("key_mgmt=WPA-EAP",), ("key_mgmt=WPA-EAP-SHA256", "ieee80211w=2")
KINDS = {
    str: 'this is a text. Write it between quotation marks: "..."',
    bool: "this is true or false, without quotation marks.",
    list: 'this is a list of texts: ["...", "..."]',
}


class Table:
    """A table of the file. Each value that is read is removed, so unknown settings remain."""

    def __init__(self, preseed: Preseed, name: str, entries: Any) -> None:
        self.preseed, self.name, self.bad = preseed, name, not isinstance(entries, dict)
        self.entries: dict[str, Any] = dict(entries) if isinstance(entries, dict) else {}
        if self.bad:
            sentence = "a setting stands below the line with its table's name, such as [system]."
            preseed.mistakes.append(f"{printable(name.strip('[]'))}: {sentence}")

    def wrong(self, key: str, sentence: str) -> None:
        """Record a mistake. The sentence must not quote a password: others can read it."""
        self.bad = True
        self.preseed.mistakes.append(f"{self.name} {key}: {sentence}")

    def take(self, key: str, kind: type = str, pattern: str = ".*", sentence: str = "") -> Any:
        """Remove and return a value; None if it is missing or, as a mistake, has the wrong type or pattern."""
        value = self.entries.pop(key, None)
        texts = value if isinstance(value, list) else [value]
        if value is None:
            return None
        if type(value) is not kind or (kind is list and any(type(text) is not str for text in texts)):
            self.wrong(key, KINDS[kind])
        elif isinstance(value, str) and re.search(CONTROLS, value):
            self.wrong(key, "this is one line of letters, digits and signs.")
        elif isinstance(value, str) and not re.fullmatch(pattern, value):
            self.wrong(key, sentence)
        else:
            return value
        return None

    def need(self, key: str, pattern: str, sentence: str) -> str:
        """Remove and return a required text; empty if it is missing or wrong, which is a mistake."""
        if key not in self.entries:
            self.wrong(key, sentence)
        return self.take(key, str, pattern, sentence) or ""


class Preseed:
    """The parsed file: its `settings`, and sentences about wrong values (`mistakes`) and ignored ones (`notes`).

    refused: whether nothing in the file could be read.
    beside: the folder with the certificates that the file names. files: certificate's name → contents.
    taken: the names of existing accounts and groups. students: if several share the Pi, their names.
    """

    def __init__(
        self, content: bytes, beside: Path, taken: Collection[str] = (), students: Collection[str] = ()
    ) -> None:
        self.beside, self.taken, self.students = beside, taken, students
        self.mistakes: list[str] = []
        self.notes: list[str] = []
        self.files: dict[str, bytes] = {}
        entries = self._parse(content)
        if not re.fullmatch(r"1(\.\d+)?", str(entries.pop("config_version", "1.0"))):
            self.mistakes.append("config_version: this Pi knows version 1 only.")
            entries = {}
        self.refused = bool(self.mistakes)
        entries.pop("debug", None)
        self.tables = {name: Table(self, f"[{name}]", value) for name, value in entries.items()}
        settings = self._account() | {"wifi": self._wifi()} | self._others()
        self.settings: dict[str, Any] = {
            key: value for key, value in settings.items() if value not in (None, "", [], {})
        }
        left = [
            f"{table.name} {key}" for table in self.tables.values() for key, value in table.entries.items() if value
        ]
        self.notes += [f"{printable(place)}: this Pi does not have such a setting." for place in left[:20]]

    def _parse(self, content: bytes) -> dict[str, Any]:
        """Return the tables of the file, in UTF-8 or UTF-16; none after a mistake."""
        if not content:
            return {}
        import tomllib

        if len(content) > LARGEST:
            self.mistakes.append("the file is far too long. Start again with a new one.")
            return {}
        try:
            text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
            # tomllib needs 1 GB for a key of 30,000 parts.
            if any(len(re.findall(r"[^.]\.", line)) > MOST_DOTS for line in text.split("\n")):
                raise ValueError
            return tomllib.loads(text)
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
        """Return host name, time zone, keyboard layout and the notebooks' passwords."""
        system, locale, ours = self._table("system"), self._table("locale"), self._table("mynn")
        own = self.tables["[mynn.passwords]"] = Table(self, "[mynn.passwords]", ours.entries.pop("passwords", {}))
        passwords = {name: own.take(name, str, *PASSWORD) for name in self.students}
        zone = locale.take("timezone")
        if zone is not None and not is_zone(zone):
            locale.wrong("timezone", f"there is no time zone {printable(zone)}. Write continent and city: Europe/Oslo")
            zone = None
        sentence = "a name has at most 63 letters from a to z, digits and hyphens, such as pi07."
        return {
            "hostname": (system.take("hostname", str, HOST, sentence) or "").lower(),
            "timezone": zone,
            "keymap": locale.take("keymap", str, "[a-z]{2,8}", "a layout is a few small letters: gb, us or de."),
            "password": ours.take("password", str, *PASSWORD),
            "passwords": {name: password for name, password in passwords.items() if password},
        }

    def _account(self) -> dict[str, Any]:
        """Return the account's name, password and SSH keys."""
        user, ssh = self._table("user"), self._table("ssh")
        settings: dict[str, Any] = {}
        if user.take("password_encrypted", bool):
            sentence = "this is not a hashed password, or not all of it. Let Imager make it again."
            settings["account_hash"] = user.take("password", str, HASH, sentence)
        elif not user.bad:
            settings["account_password"] = user.take("password", str, *PASSWORD)
        sentence = "a name has at most 32 letters from a to z, digits, - and _."
        name = user.take("name", str, "[a-z_][a-z0-9_-]{0,31}", sentence)
        if name in self.taken:
            user.wrong("name", f"this Pi has another account or group {name}. Choose another name.")
        else:
            settings["account"] = name
        user.take("passwordless_sudo", bool)  # ignored: the account never needs a password for sudo
        groups = user.take("groups", list) or []
        self.notes += [f"[user] groups: {printable(group)} is left out." for group in groups if group != "sudo"]
        lines = [key for key in ssh.take("authorized_keys", list) or [] if not re.match(r"\s*(#|$)", key)]
        keys = [key for key in lines if key.isprintable() and fingerprint(key)]
        if len(keys) < len(lines):
            ssh.wrong(
                "authorized_keys",
                f"{len(lines) - len(keys)} of {len(lines)} lines are not a public SSH key, or not all of it. It is the "
                "long line in the file that ends in .pub, or in PuTTYgen. (Never the private key: it is yours only.)",
            )
        if ssh.take("enabled", bool) is False:
            self.notes.append("[ssh] enabled: SSH stays on: the Pi is managed over it.")
        if ssh.take("password_authentication", bool) not in (None, not keys):
            self.notes.append(
                "[ssh] password_authentication: SSH accepts no passwords as soon as there are keys, and only then."
            )
        return settings | {"ssh_keys": keys}

    # --- Wi-Fi

    def _wifi(self) -> str:
        """Return wpa_supplicant's settings: the networks, and the country, whose rules for radio apply."""
        wlan, ours = self._table("wlan"), self._table("mynn")
        more = ours.entries.pop("wlan", [])
        if not isinstance(more, list):
            ours.wrong("wlan", "write [[mynn.wlan]], with two brackets, for each further network.")
            more = []
        listed = [Table(self, f"[[mynn.wlan]] {number}", entries) for number, entries in enumerate(more, 1)]
        self.tables |= {table.name: table for table in listed}
        tables = [wlan, *listed] if {"ssid", "ssid_hex"} & wlan.entries.keys() else listed
        networks = "".join(self._network(table) for table in tables)
        sentence = "the Wi-Fi needs its country, by two capitals such as GB, US or DE: it decides on channels."
        country = (wlan.need if tables else wlan.take)("country", pattern="(?!UK)[A-Z]{2}", sentence=sentence)
        head = f"# Written by mynn-pi, from {NAME}.\nctrl_interface=DIR=/run/wpa_supplicant GROUP=netdev\n"
        head += f"country={country}\n" if country else ""  # without it, only channels that all countries allow
        return head + networks if networks else ""

    def _network(self, table: Table) -> str:
        """Return a network as in wpa_supplicant's example file, wpa_supplicant.conf (2.10); empty after a mistake.

        Text is hexadecimal, so that no character needs quoting. A network with a mistake in it could be a trap.
        """
        name = table.take("ssid") or ""
        octets = table.take("ssid_hex", str, "[0-9A-Fa-f]*", "write hexadecimal digits.")
        ssid = (octets or name.encode().hex()).lower()
        if not 2 <= len(ssid) <= 64 or len(ssid) % 2:
            table.wrong("ssid", "a network's name has 1 to 32 characters (an ä or é counts as two).")
            ssid = ""
        # Scanning for a network that is not hidden does no harm.
        lines = [f"ssid={ssid}", *["scan_ssid=1"] * (table.entries.pop("hidden", False) is not False)]
        keys: tuple[tuple[str, ...], ...] = ENTERPRISE_KEYS
        if ENTERPRISE & table.entries.keys():
            lines += self._enterprise(table)
        else:
            keys = ((self._key(table, bytes.fromhex(ssid)),),)
        return "" if table.bad else "".join("\n\t".join(["network={", *lines, *key]) + "\n}\n" for key in keys)

    def _key(self, table: Table, ssid: bytes) -> str:
        """Return the key line of a network with a password, or the line that marks an open one."""
        table.take("key_mgmt", str, "none|wpa-psk", "a Pi joins networks with WPA2, WPA2 and WPA3, or open ones.")
        if table.take("password_encrypted", bool):
            password = table.need("password", WIFI_KEY, "a Wi-Fi key has 64 hexadecimal digits.")
        else:
            password = table.take("password") or ""
        if password and not (8 <= len(password.encode()) <= 63 or re.fullmatch(WIFI_KEY, password)):
            table.wrong("password", "a Wi-Fi password has 8 to 63 characters.")
        return f"psk={wifi_key(ssid, password)}" if password else "key_mgmt=NONE"

    def _enterprise(self, table: Table) -> list[str]:
        """Return the lines for a network that asks for a user name (802.1X)."""
        sentence = f"write {', '.join(METHODS)}. (Schools call the second part of ttls its inner or phase 2.)"
        outer, inner = METHODS.get(table.need("method", "|".join(METHODS), sentence), ("", ""))
        # RADIUS allows no longer one (RFC 2865, 5).
        identity = table.need("identity", ".{1,253}", "the user name, of at most 253 characters.")
        anonymous = table.take("anonymous_identity", str, ".{1,253}", "a name of at most 253 characters.")
        password = table.need("password", ".{1,128}", "the password of the identity, of at most 128 characters.")
        secret = (inner == "MSCHAPV2" and nt_hash(password)) or password.encode().hex()
        lines = [f"eap={outer}", f'phase2="auth={inner}"', f"identity={identity.encode().hex()}", f"password={secret}"]
        lines += [f"anonymous_identity={anonymous.encode().hex()}"] if anonymous else []
        return lines + self._authority(table)

    def _authority(self, table: Table) -> list[str]:
        """Return the lines that let the Pi authenticate the school's server."""
        name = table.need(
            "ca_certificate",
            f"system|unchecked|{CERTIFICATE_FILE}",
            "without it, anybody could set up a network of this name and learn the password. Copy the school's beside "
            'this file, and write its name: "school-ca.pem"',
        )
        if name == "unchecked":
            return []
        # wpa_supplicant compares whole labels from the right, so a school's domain matches all of its servers.
        sentence = 'the name in the certificate of the school\'s server, or its end: "radius.school.example"'
        domain = table.need("domain", DOMAIN, sentence)
        place = SYSTEM_CA
        if name not in ("", "system"):
            self._certificate(table, name)
            place = f"{WIFI}/mynn-{name}"
        # A Pi's clock does not run while it is off: before it is online, a certificate can seem not yet valid.
        return [f'ca_cert="{place}"', 'phase1="tls_disable_time_checks=1"', f'domain_suffix_match="{domain}"']

    def _certificate(self, table: Table, name: str) -> None:
        """Read a CA certificate, a file beside this one."""
        path = self.beside / name
        if path.is_symlink() or not path.is_file():
            sentence = f"{name} is missing. It belongs beside {NAME}; `make cards` looks in cards_certificates."
            table.wrong("ca_certificate", sentence)
        elif path.stat().st_size > LARGEST or not is_authority(content := path.read_bytes()):
            table.wrong("ca_certificate", f"{name} is not the certificate of an authority (CA), PEM or DER.")
        else:
            self.files[name] = content


def printable(text: str) -> str:
    """Return at most 60 characters of a text from the file, safe to print in a message."""
    return "".join(char if char.isprintable() else "?" for char in text[:60])


def is_zone(zone: str) -> bool:
    """Return whether there is a time zone of this name."""
    if not re.fullmatch(r"(?=.{1,64}\Z)[\w+-]+(/[\w+-]+)*", zone) or not (ZONES / zone).is_file():
        return False
    return (ZONES / zone).read_bytes()[:4] == b"TZif"


def fingerprint(key: str) -> str:
    """Return a public key's fingerprint; empty if it is not a key."""
    command = ["ssh-keygen", "-l", "-f", "-"]
    done = subprocess.run(command, input=f"{key}\n", capture_output=True, text=True, check=False)
    return done.stdout.split()[1] if done.returncode == 0 else ""


def wifi_key(ssid: bytes, password: str) -> str:
    """Return the key that WPA2 derives from a network's password, which may be such a key already."""
    import hashlib

    if re.fullmatch(WIFI_KEY, password):
        return password.lower()
    return hashlib.pbkdf2_hmac("sha1", password.encode(), ssid, 4096, 32).hex()


def nt_hash(password: str) -> str:
    """Return NtPasswordHash (RFC 2759, 8.3) as wpa_supplicant reads it; empty if openssl cannot make it.

    OpenSSL, which ca-certificates depends on, has MD4 among its legacy algorithms.
    """
    command = ["openssl", "dgst", "-md4", "-binary", "-provider", "legacy"]
    done = subprocess.run(command, input=password.encode("utf-16-le"), capture_output=True, check=False)
    return f"hash:{done.stdout.hex()}" if done.returncode == 0 else ""


def is_authority(content: bytes) -> bool:
    """Return whether a file holds a CA certificate, as PEM or DER (as Windows exports them)."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pem = b"-----BEGIN" in content
    try:
        context.load_verify_locations(cadata=content.decode("ascii", errors="ignore") if pem else content)
    except (ssl.SSLError, ValueError):
        return False
    return bool(context.get_ca_certs())
