"""Read the settings that Raspberry Pi Imager left on the card.

What each of its files says becomes the classroom.yml that would say the same, so that first_boot.py checks all of them
alike. It imports this only if there is such a file:

    rpi-preseed.toml             Imager 2.0.11 and later
    custom.toml                  nearly the same, by hand: Raspberry Pi OS 12 reads it
    firstrun.sh                  Imager 1, for an image that was made from Raspberry Pi OS
    user-data, network-config    Imager 1, for any other image: cloud-init's files

The script is not run, and there is no cloud-init here. What cannot be read becomes a note or a mistake, never nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Table = dict[str, Any]

# Of libcrypt: yescrypt, SHA-256 and SHA-512, which all Imagers write.
HASH = (
    r"\$y\$[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43}"
    r"|\$5\$(?:rounds=[1-9]\d{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}"
    r"|\$6\$(?:rounds=[1-9]\d{3,8}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}"
)
ACCOUNT = r"[a-z_][a-z0-9_-]{0,31}"
LAYOUT = r"[a-z]{2,8}"
WORDS = {
    str: "this is not a text. Write it between quotation marks.",
    bool: "this is true or false, without quotation marks.",
    list: 'this is a list of texts: ["...", "..."].',
    dict: "this is a section. Write its name between square brackets on a line of its own.",
}
# In cloud-init's files: what Imager adds to every card, and the image does or needs anyway.
CLOUD_USUAL = {"apt", "enable_ssh", "manage_etc_hosts", "manage_resolv_conf", "preserve_hostname", "ssh_pwauth"}
USER_USUAL = {"groups", "lock_passwd", "shell", "sudo"}
# Of settings, in the error file.
TITLES = {
    "hostname": "The name",
    "timezone": "The time zone",
    "password": "The notebooks' password",
    "account": "The account's name",
    "account_password": "The account's password",
    "imager_password": "The account's password",
    "imager_hash": "The account's password",
    "ssh_keys": "The SSH keys",
    "wifi": "The Wi-Fi",
    "keyboard": "The keyboard",
}
# In firstrun.sh, the two helpers of Raspberry Pi OS that Imager's script prefers.
HELPERS = ("/usr/lib/raspberrypi-sys-mods/imager_custom", "/usr/lib/userconf-pi/userconf")


class Found:
    """The settings in one of Imager's files.

    lines: of a classroom.yml; places: where each line came from. others: settings that classroom.yml does not have
    (account, imager_hash, keyboard), checked. mistakes and notes: each a place and a sentence.
    """

    def __init__(self, *files: str) -> None:
        self.files = files
        self.name = " and ".join(files)
        self.lines: list[str] = []
        self.places: list[str] = []
        self.others: dict[str, str] = {}
        self.mistakes: list[tuple[str, str]] = []
        self.notes: list[tuple[str, str]] = []

    def wrong(self, place: str, sentence: str) -> None:
        """Record a mistake: none of the file is then applied."""
        self.mistakes.append((place, sentence))

    def left_out(self, names: list[str]) -> None:
        """Note settings that this card does not have."""
        if names:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            listed = ", ".join(printable(name) for name in names[:10])
            self.notes.append((f"{listed}{more}", "this card does not have such settings."))

    # What a file says, as lines of classroom.yml.

    def line(self, start: str, value: str | None, place: str) -> None:
        """Add a line, with its value between quotation marks."""
        self.lines.append(start if value is None else f"{start} {quoted(value)}")
        self.places.append(place)

    def hostname(self, name: str, place: str) -> None:
        """Add the name. Imager allows capitals, which make no difference on a network."""
        self.line("hostname:", name.lower(), place)

    def account(self, name: str, place: str) -> None:
        """Add the account's name."""
        if re.fullmatch(ACCOUNT, name):
            self.others["account"] = name
        else:
            self.wrong(place, "an account's name has at most 32 of these: letters from a to z, digits, - and _.")

    def account_hash(self, hashed: str, place: str) -> None:
        """Add the account's password, hashed."""
        if re.fullmatch(HASH, hashed):
            self.others["imager_hash"] = hashed
        else:
            self.wrong(place, "this is not a hashed password, or not all of it. Let Imager make it again.")

    def keyboard(self, layout: str, place: str) -> None:
        """Add the layout of the Pi's own keyboard."""
        if re.fullmatch(LAYOUT, layout):
            self.others["keyboard"] = layout
        else:
            self.wrong(place, "a keyboard layout is a few small letters, such as gb, us or de.")

    def ssh_keys(self, keys: list[str], place: str) -> None:
        """Add public keys."""
        if keys:
            self.line("ssh_keys:", None, place)
        for key in keys:
            self.line("  -", key, place)

    def wifi(self, country: str | None, networks: list[tuple[str, str, bool]], place: str) -> None:
        """Add networks: name, password or key (empty: an open network), and whether the network is hidden."""
        self.line("wifi:", None, place)
        if country:
            self.line("  country:", country, f"{place}, the country")
        self.line("  networks:", None, f"{place}, the country")  # where its absence is reported
        for name, password, hidden in networks:
            self.line("    - name:", name, f"{place}, the network's name")
            self.line("      password:", password, f"{place}, the password")
            if hidden:
                self.line("      hidden:", "yes", place)


def quoted(value: str) -> str:
    """Return a text as YAML: between double quotation marks, without characters that a line cannot have."""
    plain = (char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in value)
    return f'"{"".join(plain)}"'


def printable(text: str) -> str:
    """Return a name from a file, for the error file."""
    return "".join(char if char.isprintable() else "?" for char in text[:40])


# ---------------------------------------------------------------------------------------------------------------------
# The kinds of files


class Toml(Found):
    """rpi-preseed.toml, by its schema of version 1; also custom.toml."""

    def __init__(self, name: str, text: str) -> None:
        import tomllib

        super().__init__(name)
        try:
            self.tables = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            line = re.search(r"\(at line (\d+),", str(error))
            self.wrong(f"Line {line[1]}" if line else "", "check the quotation marks, brackets and equals signs here.")
            return
        version = str(self.tables.pop("config_version", "1.0"))
        if not re.fullmatch(r"1(\.\d+)?", version):
            self.wrong("config_version", "this card knows version 1 only. Use classroom.yml instead.")
            return
        self.read()
        rest = ((name, table) for name, table in self.tables.items() if name != "debug")
        self.left_out([place for name, table in rest for place in asked(name, table)])

    def get(self, section: str, key: str, kind: type) -> Any:
        """Take a value out of its section: None if it is not there, or wrong."""
        table = self.tables.get(section, {})
        if not isinstance(table, dict):
            self.wrong(section, WORDS[dict])
            del self.tables[section]
            return None
        value = table.pop(key, None)
        strings = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        if value is None or (isinstance(value, kind) and strings):
            return value
        self.wrong(f"[{section}] {key}", WORDS[kind])
        return None

    def read(self) -> None:
        """Read each section that this card knows."""
        if name := self.get("system", "hostname", str):
            self.hostname(name, "[system] hostname")
        self.read_user()
        self.read_ssh()
        self.read_wlan()
        if (zone := self.get("locale", "timezone", str)) is not None:
            self.line("timezone:", zone, "[locale] timezone")
        if (layout := self.get("locale", "keymap", str)) is not None:
            self.keyboard(layout, "[locale] keymap")

    def read_user(self) -> None:
        """Read the account. It may use sudo anyway, without a password."""
        if (name := self.get("user", "name", str)) is not None:
            self.account(name, "[user] name")
        password, hashed = self.get("user", "password", str), self.get("user", "password_encrypted", bool)
        if password is not None and hashed:
            self.account_hash(password, "[user] password")
        elif password is not None:
            self.line("account_password:", password, "[user] password")
        self.get("user", "passwordless_sudo", bool)
        groups = self.get("user", "groups", list)
        self.left_out([f"[user] groups: {group}" for group in groups or [] if group != "sudo"])

    def read_ssh(self) -> None:
        """Read who may log in."""
        keys = self.get("ssh", "authorized_keys", list) or []
        self.ssh_keys(keys, "[ssh] authorized_keys")
        if self.get("ssh", "enabled", bool) is False:
            self.notes.append(("[ssh] enabled", "SSH stays on: the Pi is managed over it."))
        passwords = self.get("ssh", "password_authentication", bool)
        if passwords and keys:
            self.notes.append(("[ssh] password_authentication", "there are keys, so SSH accepts no passwords."))
        if passwords is False and not keys:
            self.notes.append(("[ssh] password_authentication", "there are no keys, so SSH accepts the password."))

    def read_wlan(self) -> None:
        """Read the Wi-Fi network."""
        name, octets = self.get("wlan", "ssid", str), self.get("wlan", "ssid_hex", str)
        password, hashed = self.get("wlan", "password", str) or "", self.get("wlan", "password_encrypted", bool)
        hidden, country = bool(self.get("wlan", "hidden", bool)), self.get("wlan", "country", str)
        protection = self.get("wlan", "key_mgmt", str)
        if octets is not None:
            try:
                name = bytes.fromhex(octets).decode()
            except ValueError:
                self.wrong("[wlan] ssid_hex", "this card joins only networks whose names are in UTF-8.")
                return
        if protection not in (None, "none", "wpa-psk"):
            self.wrong("[wlan] key_mgmt", "this card joins networks with WPA2, with WPA2 and WPA3, or open ones.")
        elif hashed and not re.fullmatch("[0-9a-f]{64}", password):
            self.wrong("[wlan] password", "a Wi-Fi key has 64 hexadecimal digits. Let Imager make it again.")
        elif name is not None:
            self.wifi(country, [(name, password, hidden)], "[wlan]")


def asked(name: str, table: Any) -> Iterator[str]:
    """Yield the places of values that ask for something."""
    if not isinstance(table, dict):
        yield name
        return
    for key, value in table.items():
        if value not in (False, "", [], {}):
            yield f"[{name}] {key}"


class CloudInit(Found):
    """cloud-init's user-data and network-config, as Imager writes them."""

    def __init__(self, texts: dict[str, str], country: str | None) -> None:
        super().__init__(*texts)
        self.country = country
        if "user-data" in texts:
            self.read_user_data(texts["user-data"])
        if "network-config" in texts:
            self.read_network(texts["network-config"])

    def parse(self, name: str, text: str) -> Table:
        """Return the YAML, each value as it was typed."""
        import yaml

        try:
            found = yaml.load(text, yaml.BaseLoader)  # texts, lists, dictionaries
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{name}, line {mark.line + 1}" if mark else name
            self.wrong(place, "there is a mistake in this line or the one before it.")
            return {}
        if isinstance(found, dict):
            return found
        self.wrong(name, "this is not a list of settings.")
        return {}

    def text(self, value: Any, place: str) -> str | None:
        """Return a single value: None if it is not there, or wrong."""
        if value is None or isinstance(value, str):
            return value
        self.wrong(place, "this is a single value.")
        return None

    def read_user_data(self, text: str) -> None:
        """Read name, account, keys, time zone and keyboard."""
        if not text.startswith("#cloud-config"):
            self.wrong("user-data", "its first line is not #cloud-config, so it is not settings. Nothing runs it here.")
            return
        data = {key: value for key, value in self.parse("user-data", text).items() if key not in CLOUD_USUAL}
        if name := self.text(data.pop("hostname", None), "user-data, hostname"):
            self.hostname(name, "user-data, hostname")
        if (zone := self.text(data.pop("timezone", None), "user-data, timezone")) is not None:
            self.line("timezone:", zone, "user-data, timezone")
        keyboard = data.pop("keyboard", None)
        layout = keyboard.get("layout") if isinstance(keyboard, dict) else keyboard
        if (layout := self.text(layout, "user-data, keyboard")) is not None:
            self.keyboard(layout, "user-data, keyboard")
        self.read_users(data)
        if data.get("packages") == ["avahi-daemon"]:  # in the image
            del data["packages"]
        self.left_out([f"user-data, {key}" for key in data])

    def read_users(self, data: Table) -> None:
        """Take the account out of the data: `user`, or the only one of `users`."""
        users = data.pop("users", None) or []
        users = [data.pop("user", None), *(users if isinstance(users, list) else [users])]
        users = [user for user in users if isinstance(user, dict)]
        user = {key: value for key, value in users[0].items() if key not in USER_USUAL} if users else {}
        if name := self.text(user.pop("name", None), "user-data, name"):
            self.account(name, "user-data, name")
        if hashed := self.text(user.pop("passwd", None), "user-data, passwd"):
            self.account_hash(hashed, "user-data, passwd")
        keys = user.pop("ssh_authorized_keys", None) or data.pop("ssh_authorized_keys", None) or []
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            self.ssh_keys(keys, "user-data, ssh_authorized_keys")
        else:
            self.wrong("user-data, ssh_authorized_keys", "this is a list of keys.")
        self.left_out([f"user-data, {key}" for key in user] + ["user-data, a second account"] * (len(users) > 1))

    def read_network(self, text: str) -> None:
        """Read the Wi-Fi networks of all interfaces, of which a Pi has one."""
        data = self.parse("network-config", text)
        data = data["network"] if isinstance(data.get("network"), dict) else data
        wifis = data.pop("wifis", None)
        networks, country = [], self.country
        for interface in wifis.values() if isinstance(wifis, dict) else []:
            if isinstance(interface, dict) and isinstance(interface.get("access-points"), dict):
                country = self.text(interface.get("regulatory-domain"), "network-config, regulatory-domain") or country
                points = interface["access-points"].items()
                networks += [self.network(name, point) for name, point in points]
        if networks:
            self.wifi(country, networks, "network-config")
        elif wifis:
            self.wrong("network-config", "there is no network below access-points.")
        ethernets = data.pop("ethernets", None)
        if "addresses" in str(ethernets):
            self.left_out(["network-config, ethernets"])
        self.left_out([f"network-config, {key}" for key in data if key not in ("version", "renderer")])

    def network(self, name: str, point: Any) -> tuple[str, str, bool]:
        """Return a network's name, password and whether it is hidden."""
        point = point if isinstance(point, dict) else {}
        auth = point.get("auth") if isinstance(point.get("auth"), dict) else {}
        if not auth.keys() <= {"password", "key-management"} or auth.get("key-management") not in (None, "none", "psk"):
            self.wrong("network-config, auth", "this card cannot read such a network from here. Use classroom.yml.")
        password = self.text(point.get("password", auth.get("password")), "network-config, password") or ""
        return str(name), password, point.get("hidden") == "true"


class FirstRun(Found):
    """firstrun.sh: the arguments that Imager's script has for Raspberry Pi OS's two helpers."""

    def __init__(self, text: str) -> None:
        import shlex

        super().__init__("firstrun.sh")
        known = 0
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip().startswith(HELPERS):
                try:
                    program, *words = shlex.split(line)
                except ValueError:
                    words = []
                read = self.read if words and program == HELPERS[0] else self.read_userconf
                if read(words, f"Line {number}"):
                    known += 1
                else:
                    self.wrong(f"Line {number}", "this is not what Imager writes here.")
        if not known and not self.mistakes:
            self.wrong("", "it has none of Imager's settings, and nothing runs this script here.")
        if "rpi-connect" in text:
            self.left_out(["Raspberry Pi Connect"])

    def read(self, words: list[str], place: str) -> bool:
        """Read the arguments of imager_custom. Return whether they are known ones."""
        match words:
            case ["set_hostname", name]:
                self.hostname(name, place)
            case ["enable_ssh"]:
                pass  # it is on
            case ["enable_ssh", "-k", *keys]:
                self.ssh_keys(keys, place)
            case ["set_wlan", "-h", name, password, country]:
                self.wifi(country, [(name, password, True)], place)
            case ["set_wlan", name, password, country]:
                self.wifi(country, [(name, password, False)], place)
            case ["set_keymap", layout]:
                self.keyboard(layout, place)
            case ["set_timezone", zone]:
                self.line("timezone:", zone, place)
            case _:
                return False
        return True

    def read_userconf(self, words: list[str], place: str) -> bool:
        """Read the arguments of userconf: the account, and its hashed password, which is empty if there are keys."""
        match words:
            case [name, hashed]:
                self.account(name, place)
                if hashed:
                    self.account_hash(hashed, place)
                return True
        return False


# ---------------------------------------------------------------------------------------------------------------------
# All of them


def read(contents: dict[str, bytes], cmdline: str, largest: int) -> list[Found]:
    """Return what each file says, the one that wins first.

    contents: by the files' names. cmdline: the kernel's command line, where Imager 1 puts the Wi-Fi's country. largest:
    bytes that a file may have.
    """
    texts: dict[str, str] = {}
    broken: list[Found] = []
    for name, content in contents.items():
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # Notepad's "Unicode"
        try:
            if len(content) > largest:
                raise ValueError("the file is far too long for settings.")
            text = content.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n")
        except ValueError as error:
            broken.append(Found(name))
            unreadable = isinstance(error, UnicodeDecodeError)
            broken[-1].wrong("", "this is no text in UTF-8." if unreadable else str(error))
            continue
        # Raspberry Pi OS brings files of cloud-init with comments only.
        if any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            texts[name] = text
    found: list[Found] = [Toml(name, texts[name]) for name in ("rpi-preseed.toml", "custom.toml") if name in texts]
    found += [FirstRun(texts["firstrun.sh"])] if "firstrun.sh" in texts else []
    cloud = {name: text for name, text in texts.items() if name in ("user-data", "network-config")}
    country = re.search(r"(?:^|\s)cfg80211\.ieee80211_regdom=(\S+)", cmdline)
    found += [CloudInit(cloud, country[1] if country else None)] if cloud else []
    return found + broken


def add(
    settings: Table, files: list[Found], check: Callable[[bytes], Any], taken: set[str]
) -> tuple[list[str], list[str]]:
    """Add to the settings what the files say, where nothing is set yet.

    check: checks a classroom.yml, and returns an object with `settings` and `mistakes`. taken: names that the account
    cannot have. Returns the files that were applied, and lines for the error file.
    """
    winners = {TITLES[key]: "classroom.yml" for key in settings}
    applied: list[str] = []
    lines: list[str] = []
    for found in files:
        checked = check("".join(f"{line}\n" for line in found.lines).encode())
        for number, sentence in sorted(checked.mistakes.items()):
            found.wrong(found.places[number - 1], sentence.removeprefix("hostname: "))  # the place says so
        if found.others.get("account") in taken:
            found.wrong("The account's name", "this Pi has another account or a group of that name. Choose another.")
        if found.mistakes:
            lines += [f"Nothing in {found.name} was applied, because of this:", "", *listed(found.mistakes), ""]
            lines += [f"Flash the card again with other settings, or delete {found.name} and use classroom.yml.", ""]
            continue
        for key, value in (checked.settings | found.others).items():
            # Its password is another setting than classroom.yml's: the teacher does not find it there.
            name = {"account_password": "imager_password"}.get(key, key)
            if winner := winners.get(TITLES[name]):
                found.notes.append((TITLES[name], f"{winner} sets it too, and wins."))
            else:
                settings[name], winners[TITLES[name]] = value, found.name
        if found.notes:
            lines += [f"This in {found.name} was not applied:", "", *listed(found.notes), ""]
        applied += found.files
    return applied, lines


def listed(remarks: list[tuple[str, str]]) -> list[str]:
    """Return remarks, a line each."""
    return [f"{place}: {sentence}" if place else f"{sentence[:1].upper()}{sentence[1:]}" for place, sentence in remarks]
