#!/usr/bin/python3
"""Give a card's copy of the image its own identity, and apply classroom.yml and what Raspberry Pi Imager wrote.

mynn-first-boot.service runs it before the network is up, and only when there is something to do: at the first boot, at
the next one if that was cut off, and when one of the files has changed. A power cut at any moment leaves each file old
or new, and the stamps are written last, so the next boot does the rest.

Keys and passwords come from the kernel's random numbers. os.urandom, ssh-keygen and chpasswd (getrandom(2)) all wait
until the kernel has enough entropy. That is soon: /etc/modules-load.d loads the driver of the Pi's hardware generator,
and without that the kernel uses the processor's jitter.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # (`python3 -I` leaves it out)
import enterprise

# Modules that a Pi Zero imports slowly, and that are not always needed, are imported where they are used.

UID = "1000"  # of the account that Ansible logs in with: `pi`, unless the image was made with another
# As in roles/jupyter: without letters and digits that look alike.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
LENGTH = 10
LARGEST = 64 * 1024  # bytes of classroom.yml, which has a few dozen lines
# Raspberry Pi Imager's own settings, which imager.py reads. They are applied once, and then removed: they have secrets.
IMAGER = ("rpi-preseed.toml", "custom.toml", "firstrun.sh", "user-data", "network-config")

Node = Any  # yaml's, which has no types
Settings = dict[str, Any]


def sha256(content: bytes) -> str:
    """Return a fingerprint, in hexadecimal."""
    import hashlib

    return hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Files that a power cut leaves old or new


def write(path: Path, content: str | bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write a file atomically and durably. A file that has this content already is left alone."""
    content = content.encode() if isinstance(content, str) else content
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # a power cut left it
    # With the mode here: on FAT, it cannot be set afterwards.
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        if owner:
            os.fchown(file.fileno(), *owner)
        os.fsync(file.fileno())
    os.replace(new, path)  # noqa: PTH105 - the tests cut the power here
    sync(path)  # on FAT, its directory entry belongs to it, and would be written seconds later
    sync(path.parent)


def link(path: Path, target: str) -> None:
    """Make a symbolic link atomically and durably."""
    if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115 - as it stands, unlike a Path
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    os.replace(new, path)  # noqa: PTH105
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file durably, if there is one."""
    if path.exists():
        os.unlink(path)  # noqa: PTH108 - the tests cut the power here
        sync(path.parent)


def sync(path: Path) -> None:
    """Write a file or a folder to the card."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------------------------------
# classroom.yml, checked

NETWORK = {"name": "Our School", "password": '"at least 8 characters"', "hidden": "no", **enterprise.SETTINGS}
WIFI = {"country": "GB", "networks": "(a list, as the example in the file shows)"}
# Each setting, with an example.
SETTINGS = {
    "hostname": "pi07",
    "timezone": "Europe/London",
    "password": '"sunflower7"',
    "account_password": '"only teachers know"',
    "ssh_keys": "(a list, as the example in the file shows)",
    "wifi": "(country and networks, as the example in the file shows)",
}
KEYS = "|".join([*SETTINGS, *WIFI, *NETWORK])
QUOTES = "“”„‟‘’‚«»"


class Classroom:
    """The `settings` in classroom.yml, and the `mistakes` by line. With any mistake, no setting is applied.

    A password in `read_once`, and a file in `files_read_once`, must leave the card's small partition once it is used.
    """

    def __init__(self, content: bytes, root: Path) -> None:
        self.content, self.root, self.zoneinfo = content, root, root / "usr/share/zoneinfo"
        self.settings: Settings = {}
        self.read_once: list[Node] = []
        self.files_read_once: list[str] = []
        self.mistakes: dict[int, str] = {}
        self.lines: list[str] = []
        text = self.decode(content)
        self.lines = text.splitlines()
        self.look_at_lines()
        if any(line.strip() and not line.lstrip().startswith("#") for line in self.lines):
            self.parse(text)

    def wrong(self, where: int | Node, sentence: str) -> None:
        """Record a mistake, by its line or by YAML's node. Only the first in a line: others would only confuse."""
        line = where if isinstance(where, int) else where.start_mark.line + 1
        self.mistakes.setdefault(line, sentence)

    def decode(self, content: bytes) -> str:
        """Return the text, in any encoding that editors use, with Linux's line ends."""
        if len(content) > LARGEST:
            self.wrong(1, "the file is far too long. Start again with the one that came with the image.")
            return ""
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        try:
            text = content.decode("utf-16" if utf16 else "utf-8-sig")
        except UnicodeDecodeError as error:
            self.wrong(
                content[: error.start].count(b"\n") + 1,
                "a letter here is not saved as UTF-8. In Notepad choose Save as, and Encoding: UTF-8.",
            )
            text = content.decode(errors="replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def look_at_lines(self) -> None:
        """Find common mistakes that YAML would explain badly."""
        for number, line in enumerate(self.lines, 1):
            if re.search("BEGIN .*PRIVATE KEY", line):
                self.wrong(
                    number,
                    "this is a private key, which nobody but you may have. Remove it, make a new pair of keys "
                    "(ssh-keygen), and write here the one line of the file that ends in .pub.",
                )
            if line.lstrip().startswith("#"):
                continue
            if "\t" in line:
                self.wrong(number, "there is a tab in this line. Replace it with spaces.")
            if found := re.match(rf"\s*(?:- +)?({KEYS}) *(?::(?=\S)|=)", line):
                self.wrong(number, f"after {found[1]}, write a colon and a space: {self.example(found[1])}")

    def example(self, key: str) -> str:
        """Return an example of a setting's line."""
        return f"{key}: {(SETTINGS | WIFI | NETWORK)[key]}"

    def parse(self, text: str) -> None:
        """Read the YAML and check each setting in it."""
        import yaml

        try:
            node = yaml.compose(text.replace("\t", "  "), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            if not self.mistakes:
                line, sentence = self.explain(error, text)
                self.wrong(line, sentence)
            return
        entries = self.mapping(node, SETTINGS, "setting")
        checks: dict[str, Callable[[Node], Any]] = {
            "hostname": self.hostname,
            "timezone": self.timezone,
            "password": self.password,
            "account_password": self.password,
            "ssh_keys": self.ssh_keys,
            "wifi": self.wifi,
        }
        self.settings = {key: checks[key](value) for key, value in entries.items()}

    def explain(self, error: Exception, text: str) -> tuple[int, str]:
        """Return the line of a YAML error, and a sentence about it."""
        mark, context = getattr(error, "problem_mark", None), getattr(error, "context", None) or ""
        # Without a mark: a character that no text has, such as the zeros that a power cut may leave.
        line = mark.line if mark else text[: getattr(error, "position", 0)].count("\n")
        if "escape" in (getattr(error, "problem", None) or ""):
            return line + 1, "there is a backslash between double quotation marks. Use single ones: 'like this'."
        if "quoted scalar" in context:
            begins = error.context_mark.line  # type: ignore[attr-defined]
            return begins + 1, "a quotation mark is missing: what begins with one must end with the same."
        return line + 1, (
            "there is a mistake in this line or the one before it. Check the spaces at their start (none before a "
            "setting, two more before what belongs to it), the colons and quotation marks, and the examples."
        )

    # Each of these returns a value, or records a mistake.

    def mapping(
        self, node: Node, known: dict[str, str], kind: str, required: dict[str, str] | None = None
    ) -> dict[str, Node]:
        """Return the values of `name: value` lines by name. Unknown names are mistakes.

        required: by name, the sentence for when it is not there.
        """
        if node.id != "mapping":
            self.wrong(node, f"this is not a {kind}. Write NAME: VALUE, such as {self.example(next(iter(known)))}")
            return {}
        entries: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in entries:
                self.wrong(key, f"{name} is there twice. Remove one of them.")
            elif name in known:
                entries[name] = value
            else:
                from difflib import get_close_matches

                near = get_close_matches(name.lower(), known, 1)
                guess = f"Did you mean {near[0]}?" if near else f"The settings here are: {', '.join(known)}."
                self.wrong(key, f"there is no {kind} {name!r}. {guess}")
        for name, sentence in (required or {}).items():
            if name not in entries and len(entries) == len(node.value):  # otherwise it may be a misspelt one
                self.wrong(node, sentence)
        return entries

    def sequence(self, node: Node, name: str) -> list[Node]:
        """Return the entries of a list."""
        if node.id == "sequence" and node.value:
            return list(node.value)
        self.wrong(node, f"{name} is a list: write each entry on a line below it that begins with '  - '.")
        return []

    def text(self, node: Node | None, name: str) -> str:
        """Return a value as it was typed: NO is Norway here, and 007 a name. Nothing if it is not there."""
        if node is None:
            return ""
        if node.id != "scalar":
            self.wrong(node, f"{name} is a single value: {self.example(name)}")
        elif node.tag.endswith(":null") or not node.value:
            self.wrong(node, f"{name} has no value. Write one, such as {self.example(name)}, or put # before the line.")
        elif node.value[:1] in QUOTES and not node.style:
            self.wrong(node, f"these are curly quotation marks. Use straight ones: {self.example(name)}")
        elif any(not character.isprintable() for character in node.value):
            self.wrong(node, f"{name} is one line of letters, digits and signs: {self.example(name)}")
        elif not node.style and re.match(r"\s+#", self.lines[node.end_mark.line][node.end_mark.column :]):
            self.wrong(
                node,
                f"what follows # is ignored. If it belongs to {name}, put the whole value between quotation marks; "
                "if not, give it a line of its own.",
            )
        else:
            return str(node.value)
        return ""

    def secret(self, node: Node) -> str:
        """Return a password. No sentence may quote it: others can read them."""
        value = self.text(node, "password")
        if value and not node.style and not node.tag.endswith(":str"):
            sentence = 'put a password of digits, or a word such as yes or no, between quotation marks: "12345678"'
            self.wrong(node, sentence)
        return value

    def hostname(self, node: Node) -> str:
        """Return a name that works on any network."""
        name = self.text(node, "hostname")
        for found, sentence in {
            r"\s": "a name cannot have spaces",
            "_": "a name cannot have underscores; use a hyphen: -",
            "[A-Z]": "a name cannot have capitals",
            r"\.": "write the name without dots; .local is added automatically",
            "^-|-$": "a name cannot begin or end with a hyphen",
            "^.{64}": "a name can have at most 63 characters",
            "^localhost$": "localhost is every computer's name for itself",
            "[^a-z0-9-]": "a name can only have letters from a to z, digits and hyphens",
        }.items():
            if re.search(found, name):
                self.wrong(node, f"hostname: {sentence}. For example: {self.example('hostname')}")
        return name

    def timezone(self, node: Node) -> str:
        """Return a time zone that this system knows."""
        name = self.text(node, "timezone")
        place = self.zoneinfo / name
        if name and not (re.fullmatch(r"[\w+-]+(/[\w+-]+)*", name) and place.is_file() and is_zone(place)):
            from difflib import get_close_matches

            zones = {
                path.relative_to(self.zoneinfo).as_posix()
                for region in self.zoneinfo.iterdir()
                if region.is_dir() and region.name[0].isupper()
                for path in region.rglob("*")
            }
            last = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones)}
            near = get_close_matches(name.rpartition("/")[2].lower().replace(" ", "_"), last, 1)
            guess = f"Did you mean {last[near[0]]}?" if near else f"For example: {self.example('timezone')}"
            self.wrong(node, f"there is no time zone {name!r}. {guess}")
        return name

    def password(self, node: Node) -> str:
        """Return a password for the notebooks or the account."""
        value = self.secret(node)
        if not 8 <= len(value) <= 64:
            self.wrong(node, f"this password has {len(value)} characters; it must have 8 to 64.")
        return value

    def ssh_keys(self, node: Node) -> list[str]:
        """Return public keys that SSH can read, a line each."""
        keys = []
        for entry in self.sequence(node, "ssh_keys"):
            key = self.text(entry, "ssh_keys").strip()
            if key and not fingerprint(key):
                self.wrong(
                    entry,
                    "this is not a public SSH key, or not all of it. A key is the one long line of the file that ends "
                    "in .pub, and begins with a word such as ssh-ed25519.",
                )
            keys.append(key)
        return keys

    def wifi(self, node: Node) -> Settings:
        """Return country and networks."""
        required = {
            "country": f"wifi needs the country, for its radio regulations: {self.example('country')}",
            "networks": "wifi has no networks. The example in the file shows how to write them.",
        }
        entries = self.mapping(node, WIFI, "setting of wifi", required)
        country = self.text(entries.get("country"), "country")
        table = (self.zoneinfo / "iso3166.tab").read_text(encoding="utf-8").splitlines()
        countries = {line[:2] for line in table if not line.startswith("#")}
        if country and country not in countries:
            better = "GB" if country.upper() == "UK" else country.upper()
            guess = better if better in countries else "GB, US, DE"
            sentence = f"{country!r} is not a country code. Use two capitals, such as {guess}."
            self.wrong(entries["country"], sentence)
        listed = self.sequence(entries["networks"], "networks") if "networks" in entries else []
        return {"country": country, "networks": [self.network(entry) for entry in listed]}

    def network(self, node: Node) -> Settings:
        """Return name, password (empty: an open network) and whether it is hidden; or more, if it has a method."""
        required = {"name": f"this network has no name: {self.example('name')}"}
        asks_who = node.id == "mapping" and any(str(key.value) in enterprise.SETTINGS for key, _ in node.value)
        if not asks_who:
            required["password"] = 'this network has no password. If it is open to everybody, write password: ""'
        entries = self.mapping(node, NETWORK, "setting of a network", required)
        name = self.text(entries.get("name"), "name")
        if len(name.encode()) > 32:
            self.wrong(node, "the name of a Wi-Fi network can have at most 32 characters (an ä or é counts as two).")
        password, given = "", None if asks_who else entries.get("password")
        if given and (given.value or not given.style):
            password = self.secret(given)
            if password and not is_key(password) and not 8 <= len(password.encode()) <= 63:
                length = len(password.encode())
                self.wrong(given, f"a Wi-Fi password has 8 to 63 characters; this one has {length}.")
        hidden = self.text(entries.get("hidden"), "hidden").lower()
        if hidden not in ("yes", "true", "no", "false", ""):
            self.wrong(entries["hidden"], "hidden is yes or no.")
        found: Settings = {"name": name, "password": password, "hidden": hidden in ("yes", "true")}
        return found | (enterprise.Network(self, node, entries, self.root).settings() if asks_who else {})


def replace(content: bytes, nodes: list[Node], new: str) -> bytes:
    """Return classroom.yml with these values replaced, and all else as its editor saved it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8"
    lines = content.decode(encoding).splitlines(keepends=True)
    for node in sorted(nodes, key=lambda node: node.start_mark.index, reverse=True):
        start, end = node.start_mark, node.end_mark
        joined = lines[start.line][: start.column] + new + lines[end.line][end.column :]
        lines[start.line : end.line + 1] = [joined]
    return "".join(lines).encode(encoding)


def is_key(password: str) -> bool:
    """Return whether this is the key that WPA2 derives from a Wi-Fi password; no password is that long."""
    return bool(re.fullmatch("[0-9a-f]{64}", password))


def wifi_key(name: str, password: str) -> str:
    """Return the key that WPA2 derives from a network's password, as wpa_passphrase does; nothing for an open network.

    `make cards` writes it instead of the password.
    """
    import hashlib

    if not password or is_key(password):
        return password
    return hashlib.pbkdf2_hmac("sha1", password.encode(), name.encode(), 4096, 32).hex()


def is_zone(path: Path) -> bool:
    """Return whether this file describes a time zone."""
    with path.open("rb") as file:
        return file.read(4) == b"TZif"


def fingerprint(key: str) -> str:
    """Return a public key's fingerprint, or nothing if it is not a key."""
    asked = ["ssh-keygen", "-l", "-f", "-"]
    done = subprocess.run(asked, input=f"{key}\n", capture_output=True, text=True, check=False)
    return done.stdout.split()[1] if done.returncode == 0 else ""


def start_of(path: Path) -> bytes:
    """Return a file, of which no more than is needed to see that it is too long; nothing if it is not there."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


# ---------------------------------------------------------------------------------------------------------------------
# The Pi


class Pi:
    """A Pi with its root file system: /, or a folder in tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.boot = root / "boot/firmware"
        self.state = root / "var/lib/mynn-pi"
        # Fingerprints of the passwords' hashes that were set here. Also the stamp of the first boot.
        self.passwords = self.state / "passwords"

    def path(self, path: str) -> Path:
        """Return the path of a file of the Pi."""
        return self.root / path.lstrip("/")

    def account(self) -> list[str]:
        """Return the entry of the account that Ansible logs in with: name, password, uid, gid, comment, home, shell."""
        accounts = self.path("/etc/passwd").read_text(encoding="utf-8").splitlines()
        return next(fields for fields in (line.split(":") for line in accounts) if fields[2] == UID)

    def taken(self) -> set[str]:
        """Return the names of all other accounts and groups."""
        group = self.account()[3]
        names = set()
        for file, own in (("/etc/passwd", UID), ("/etc/group", group)):
            lines = self.path(file).read_text(encoding="utf-8").splitlines() if self.path(file).exists() else []
            names |= {fields[0] for fields in (line.split(":") for line in lines) if fields[2:3] != [own]}
        return names

    def run(self, *command: str, text: str = "", **environment: str) -> None:
        """Run a command. text: its input, which does not show in the list of processes."""
        subprocess.run(command, input=text, env={**os.environ, **environment}, text=True, check=True)

    def boot_up(self) -> None:
        """Do what this boot requires."""
        classroom = self.classroom(start_of(self.boot / "classroom.yml"))
        settings = {} if classroom.mistakes else dict(classroom.settings)
        applied, remarks = self.ask_imager(settings)
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = not self.passwords.exists()
        self.keep_machine_id()
        if "account" in settings:
            self.rename_account(settings["account"])
        if first or "hostname" in settings:
            self.name(settings.get("hostname") or self.usual_name())
        if first:
            self.make_host_key()
        if "timezone" in settings:
            link(self.path("/etc/localtime"), f"../usr/share/zoneinfo/{settings['timezone']}")
        if "keyboard" in settings:
            self.keyboard(settings["keyboard"])
        if "wifi" in settings:
            self.wifi(settings["wifi"])
        if "ssh_keys" in settings:
            self.let_in(settings["ssh_keys"])
        self.set_passwords(settings, first)
        self.report(self.sentences(classroom.mistakes, first, applied) + remarks)
        self.forget_secrets(classroom)
        # Last: each boot compares this, by sha256sum (see mynn-first-boot.service).
        left = [name for name in ("classroom.yml", *IMAGER) if name not in applied]
        write(self.state / "applied", f"{self.sum_of(left)}  -\n")
        for name in applied:
            remove(self.boot / name)

    def forget_secrets(self, classroom: Classroom) -> None:
        """Take what is now in the Pi from the partition that every computer can read."""
        if classroom.mistakes or not classroom.read_once + classroom.files_read_once:
            return
        for name in classroom.files_read_once:  # first: without their password, they could not be read again
            remove(self.boot / name)
        classroom.content = replace(classroom.content, classroom.read_once, f'"{enterprise.KEPT}"')
        write(self.boot / "classroom.yml", classroom.content)

    def classroom(self, content: bytes) -> Classroom:
        """Check a classroom.yml."""
        return Classroom(content, self.root)

    def ask_imager(self, settings: Settings) -> tuple[list[str], list[str]]:
        """Add what Raspberry Pi Imager's files say. Return those that were applied, and lines for the error file."""
        if not any((self.boot / name).is_file() for name in IMAGER):
            return [], []
        import imager

        texts = {name: start_of(self.boot / name) for name in IMAGER if (self.boot / name).is_file()}
        cmdline = start_of(self.boot / "cmdline.txt").decode("ascii", "replace")
        return imager.add(settings, imager.read(texts, cmdline, LARGEST), self.classroom, self.taken())

    def sum_of(self, names: list[str]) -> str:
        """Return the fingerprint of these files of the boot partition, one after the other."""
        import hashlib

        digest = hashlib.sha256()
        for name in names:
            if (self.boot / name).is_file():
                with (self.boot / name).open("rb") as file:
                    while part := file.read(LARGEST):
                        digest.update(part)
        return digest.hexdigest()

    def keep_machine_id(self) -> None:
        """Write the machine id to the card. systemd made it, because it found /etc/machine-id empty."""
        file = self.path("/etc/machine-id")
        if not re.fullmatch(r"[0-9a-f]{32}\n?", file.read_text(encoding="ascii")):
            raise ValueError(f"{file} holds no machine id: systemd makes one if this file is empty.")
        sync(file)

    def number(self) -> str:
        """Return six hexadecimal digits of this Pi's own: from its serial number or else its machine id."""
        file = self.path("/proc/device-tree/serial-number")
        serial = file.read_text(encoding="ascii", errors="replace").strip("\0\n") if file.exists() else ""
        if re.fullmatch("[0-9a-f]{6,}", serial) and serial.strip("0"):
            return serial[-6:]
        return sha256(b"mynn-pi " + self.path("/etc/machine-id").read_bytes().strip())[:6]

    def usual_name(self) -> str:
        """Return a Pi's default name."""
        return f"mynn-{self.number()}"

    def name(self, name: str) -> None:
        """Set the Pi's name, in files like those of the role system."""
        write(self.path("/etc/hostname"), f"{name}\n")
        hosts = self.path("/etc/hosts")
        lines = hosts.read_text(encoding="utf-8").splitlines() if hosts.exists() else ["127.0.0.1\tlocalhost"]
        ours = [number for number, line in enumerate(lines) if re.match(r"127\.0\.1\.1\s", line)] or [len(lines)]
        lines[ours[-1] : ours[-1] + 1] = [f"127.0.1.1\t{name}"]
        write(hosts, "".join(f"{line}\n" for line in lines))
        if self.root == Path("/"):
            import socket

            socket.sethostname(name)

    def rename_account(self, new: str) -> None:
        """Rename the account. /etc/passwd comes last: until then, the next boot knows the old name and goes on."""
        old, _, _, _, _, home, _ = self.account()
        if new == old:
            return
        for table in ("group", "gshadow", "shadow", "subuid", "subgid"):
            self.rename_in(self.path(f"/etc/{table}"), old, new)
        sudoers = self.path("/etc/sudoers.d")
        rule = sudoers / f"010_{old}-nopasswd"  # the image's
        if rule.exists():
            text = rule.read_text(encoding="utf-8")
            write(sudoers / f"010_{new}-nopasswd", re.sub(f"^{re.escape(old)} ", f"{new} ", text, flags=re.M), 0o440)
            remove(rule)
        there, to = self.path(home), self.path(home).with_name(new)
        if there.is_dir() and not to.exists():
            there.rename(to)
            sync(to.parent)
        folder = f"{home.rpartition('/')[0]}/{new}" if to.is_dir() else home
        self.rename_in(self.path("/etc/passwd"), old, new, {home: folder})

    def rename_in(self, file: Path, old: str, new: str, others: dict[str, str] | None = None) -> None:
        """Rename an account in a table of accounts or groups, also where it is a member. others: other fields."""
        if not file.exists():
            return
        entries = [line.split(":") for line in file.read_text(encoding="utf-8").splitlines()]
        names = {old: new}
        for entry in entries:
            entry[0] = names.get(entry[0], entry[0])
            entry[1:] = [(others or {}).get(field, field) for field in entry[1:]]
            if file.name in ("group", "gshadow"):
                entry[-1] = ",".join(names.get(member, member) for member in entry[-1].split(","))
        about = file.stat()
        text = "".join(f"{':'.join(entry)}\n" for entry in entries)
        write(file, text, stat.S_IMODE(about.st_mode), (about.st_uid, about.st_gid))

    def keyboard(self, layout: str) -> None:
        """Set the layout of the Pi's own keyboard, where Debian's keyboard-configuration keeps it."""
        model = {"XKBMODEL": "pc105", "XKBLAYOUT": layout, "XKBVARIANT": "", "XKBOPTIONS": "", "BACKSPACE": "guess"}
        write(self.path("/etc/default/keyboard"), "".join(f'{name}="{value}"\n' for name, value in model.items()))

    def make_host_key(self) -> None:
        """Make SSH's host key, of the type that a Pi Zero makes quickly. Remove any that the image had."""
        from tempfile import TemporaryDirectory

        folder = self.path("/etc/ssh")
        with TemporaryDirectory(dir=self.path("/run")) as place:
            made = Path(place, "key")
            name = self.path("/etc/hostname").read_text(encoding="ascii").strip()
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{name}", "-f", str(made))
            for old in sorted(folder.glob("ssh_host_*")):
                remove(old)
            write(folder / "ssh_host_ed25519_key.pub", made.with_suffix(".pub").read_bytes())
            write(folder / "ssh_host_ed25519_key", made.read_bytes(), 0o600)

    def wifi(self, wifi: Settings) -> None:
        """Write the Wi-Fi networks, with keys for each network instead of passwords."""
        lines = ["# Written by mynn-pi, from classroom.yml.", "ctrl_interface=DIR=/run/wpa_supplicant GROUP=netdev"]
        lines += [f"country={wifi['country']}"]
        folder, files = "/etc/wpa_supplicant", dict[str, str]()
        for network in wifi["networks"]:
            if "method" in network:
                lines += enterprise.lines(network, folder)
                files |= enterprise.files(network)
                continue
            # In hexadecimal, so that no character needs quoting.
            ssid, key = network["name"].encode().hex(), wifi_key(network["name"], network["password"])
            lines += ["network={", f"\tssid={ssid}", f"\tpsk={key}" if key else "\tkey_mgmt=NONE"]
            lines += ["\tscan_ssid=1"] * network["hidden"] + ["}"]
        for name, content in files.items():
            write(self.path(folder) / name, content, 0o600)
        write(self.path(folder) / "wpa_supplicant-wlan0.conf", "\n".join([*lines, ""]), 0o600)
        for old in self.path(folder).glob(enterprise.FILES):
            if old.name not in files:
                remove(old)

    def let_in(self, keys: list[str]) -> None:
        """Let these SSH keys log in, besides those that already may; from then on, SSH accepts keys only."""
        _, _, uid, gid, _, home, _ = self.account()
        owner = (int(uid), int(gid))
        folder = self.path(home) / ".ssh"
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
        os.chown(folder, *owner)
        file = folder / "authorized_keys"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        known = {fingerprint(line) for line in lines}
        lines += [key for key in keys if fingerprint(key) not in known]
        write(file, "".join(f"{line}\n" for line in lines), 0o600, owner)
        ours = self.path("/opt/mynn/boot/sshd.conf")  # the role system's
        write(self.path("/etc/ssh/sshd_config.d/10-mynn-pi.conf"), ours.read_bytes())

    def set_passwords(self, settings: Settings, first: bool) -> None:
        """Set the passwords that are given; at the first boot, make those that are missing.

        There are two, so that a child who can open the notebooks cannot do anything with the Pi. A generated password
        is written to this-pi.txt before it is set; the teacher knows a given one, or finds it in classroom.yml.
        """
        ours, theirs = "the one in classroom.yml", "the one that was chosen in Raspberry Pi Imager"
        hashed = settings.get("imager_hash")
        passwords = {
            "notebooks": settings.get("password"),
            "account": settings.get("account_password") or settings.get("imager_password") or hashed,
        }
        shown = {"notebooks": ours, "account": ours if "account_password" in settings else theirs}
        for whose in passwords:
            if first and not passwords[whose]:
                passwords[whose] = shown[whose] = new_password()
        shown = {f"MYNN_{whose}": text for whose, text in shown.items() if passwords[whose]}
        self.run("sh", str(Path(__file__).with_name("announce.sh")), MYNN_ROOT=str(self.root).rstrip("/"), **shown)
        if not shown:
            return
        stamp = self.passwords.read_text(encoding="ascii").splitlines() if self.passwords.exists() else []
        stamps = dict(line.split() for line in stamp)
        if passwords["account"]:
            account = self.account()[0]
            for lock in ("passwd.lock", "shadow.lock"):  # left by a power cut; nothing else changes accounts this early
                self.path(f"/etc/{lock}").unlink(missing_ok=True)
            place = [] if self.root == Path("/") else ["--prefix", str(self.root)]
            method = ["--encrypted"] if passwords["account"] == hashed else ["--crypt-method", "YESCRYPT"]
            self.run("chpasswd", *method, *place, text=f"{account}:{passwords['account']}\n")
            shadow = self.path("/etc/shadow").read_text(encoding="utf-8").splitlines()
            entry = next(line for line in shadow if line.startswith(f"{account}:"))
            stamps["account"] = sha256(f"{entry.split(':')[1]}\n".encode())
        if passwords["notebooks"]:
            file = self.path("/etc/jupyter/password")
            file.parent.mkdir(mode=0o755, exist_ok=True)
            # site.yml may have put a certificate below the hash.
            certificate = file.read_text(encoding="utf-8").partition("\n")[2] if file.exists() else ""
            hashed = f"{jupyter_hash(passwords['notebooks'])}\n{certificate}"
            write(file, hashed, 0o600)
            stamps["notebooks"] = sha256(hashed.encode())
        write(self.passwords, "".join(f"{whose} {stamps[whose]}\n" for whose in ("notebooks", "account")), 0o600)

    def sentences(self, mistakes: dict[int, str], first: bool, applied: list[str]) -> list[str]:
        """Return lines for the error file about the mistakes in classroom.yml."""
        if not mistakes:
            return []
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        now = "has its default settings" if first else "stays as it was"
        return [
            f"classroom.yml has {count}, so none of it was applied.",
            "",
            *(f"Line {line}: {sentence}" for line, sentence in sorted(mistakes.items())),
            "",
            "Correct the file on this card, put the card back into the Pi and switch it on. Then this file disappears.",
            f"Until then, the Pi {'has the settings from Raspberry Pi Imager' if applied else now}.",
            "",
        ]

    def report(self, lines: list[str]) -> None:
        """Write what was not applied into a file beside classroom.yml, or remove that file if all was."""
        file = self.boot / "classroom-error.txt"
        if not lines:
            remove(file)
            return
        write(file, "\r\n".join(lines))
        print("Some settings were not applied: see classroom-error.txt on the boot partition.", file=sys.stderr)


def new_password() -> str:
    """Return a password of 49 bits, as roles/jupyter makes them."""
    import secrets

    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def jupyter_hash(password: str) -> str:
    """Return the hash as Jupyter's server reads it, with the costs of plugins/filter/passwords.py."""
    import argon2

    # The lengths are today's defaults; those of Debian 13's argon2 are shorter.
    hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
    return "argon2:" + hasher.hash(password)


def main(arguments: list[str]) -> None:
    """`first_boot.py [ROOT]`: make this a Pi of its own, here or below a folder."""
    os.umask(0o022)
    Pi(Path(*arguments or ["/"])).boot_up()


if __name__ == "__main__":
    main(sys.argv[1:])
