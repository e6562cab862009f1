#!/usr/bin/python3
"""First-boot configuration: create host name, SSH host key and passwords, and apply the settings in rpi-preseed.toml.

mynn-first-boot.service runs this before the network is up: at the first boot, again if that was interrupted, and
whenever rpi-preseed.toml differs from the image's empty one. After its settings are applied, the empty file replaces
it, so that no password stays on the FAT partition that every computer can read. A power cut at any moment leaves each
file old or new, and the next boot does the rest.

Keys and passwords come from the kernel's random number generator. os.urandom, ssh-keygen and chpasswd (getrandom(2))
wait until it has enough entropy. That takes little time: /etc/modules-load.d loads the driver of the Pi's hardware
generator, and without one the kernel uses the processor's jitter.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import preseed

# Modules that are slow to import on a Pi Zero and not always needed are imported where they are used.

UID = "1000"  # the account that Ansible logs in with: `pi`, unless the settings rename it
# As in roles/jupyter: no characters that look alike.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
LENGTH = 10


def sha256(content: bytes) -> str:
    """Return the SHA-256 sum, in hexadecimal."""
    import hashlib

    return hashlib.sha256(content).hexdigest()


# --- atomic, durable writes: a power cut leaves each file old or new


def write(path: Path, content: str | bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write a file atomically and durably, unless it already has this content."""
    content = content.encode() if isinstance(content, str) else content
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a power cut
    # Set the mode here: on FAT, it cannot be changed later.
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        if owner:
            os.fchown(file.fileno(), *owner)
        os.fsync(file.fileno())
    os.replace(new, path)  # noqa: PTH105 - the tests cut the power here
    sync(path)  # otherwise FAT writes the directory entry seconds later
    sync(path.parent)


def link(path: Path, target: str) -> None:
    """Make a symbolic link atomically and durably."""
    if path.is_symlink() and os.readlink(path) == target:  # noqa: PTH115 - the exact text, unlike a Path
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    os.replace(new, path)  # noqa: PTH105
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file durably, if it exists."""
    if path.exists():
        os.unlink(path)  # noqa: PTH108 - the tests cut the power here
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or a folder to the card."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Pi:
    """A Pi by its root file system: / or, in tests, a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.boot = self.path("/boot/firmware")
        self.is_desk = self.path("/etc/mynn-desk").is_dir()  # the desk has no notebook server
        # Fingerprints of the password hashes set here. The file also marks the first boot as done.
        self.passwords = self.path("/var/lib/mynn-pi/passwords")

    def path(self, path: str) -> Path:
        """Return the path of one of the Pi's files, below `root`."""
        return self.root / path.lstrip("/")

    def table(self, path: str) -> list[list[str]]:
        """Return the fields of each line of an account file such as /etc/passwd; no lines if it is missing."""
        file = self.path(path)
        return [line.split(":") for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def account(self) -> list[str]:
        """Return the entry of the account that Ansible logs in with: name, password, uid, gid, comment, home, shell."""
        return next(entry for entry in self.table("/etc/passwd") if entry[2] == UID)

    def taken(self) -> set[str]:
        """Return the names of all other accounts and groups."""
        owned = (("/etc/passwd", UID), ("/etc/group", self.account()[3]))
        return {entry[0] for path, own in owned for entry in self.table(path) if entry[2:3] != [own]}

    def students(self) -> list[str]:
        """Return the students' names if several share this Pi: each has a socket."""
        sockets = self.path("/etc/systemd/system").glob("jupyter-*@*.socket")
        return sorted(path.stem.partition("@")[2] for path in sockets)

    def run(self, *command: str, text: str = "", **environment: str) -> None:
        """Run a command. text: its standard input, which no process list shows."""
        subprocess.run(command, input=text, env={**os.environ, **environment}, text=True, check=True)

    def run_on_accounts(self, program: str, *arguments: str, text: str = "") -> None:
        """Run a program that changes accounts, on this root."""
        for lock in self.path("/etc").glob("[a-z]*.lock"):  # stale, from a power cut: no other program runs yet
            lock.unlink()
        place = [] if self.root == Path("/") else ["--prefix", str(self.root)]
        self.run(program, *place, *arguments, text=text)

    def boot_up(self) -> None:
        """Configure the Pi at its first boot, and apply new settings."""
        file, empty = self.boot / preseed.NAME, self.path(f"/opt/mynn/boot/{preseed.NAME}").read_bytes()
        content = b""
        if file.is_file():
            with file.open("rb") as opened:
                content = opened.read(preseed.LARGEST + 1)  # one more than allowed, to detect a file that is too long
        preset = preseed.Preseed(content, self.boot, taken=self.taken(), students=self.students())
        first = not self.passwords.exists()
        self.passwords.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(self.path("/etc/machine-id"))  # systemd has just made it: the one in the image is empty
        given = content not in (b"", empty)
        if given:
            self.report(preset)  # first: announce.sh copies it into this-pi.txt
        self.apply(preset.settings, preset.files, first)
        if given and not preset.refused:
            write(file, empty)

    def apply(self, settings: dict[str, Any], certificates: dict[str, bytes], first: bool) -> None:
        """Apply the settings; at the first boot, generate a missing host name, host key and passwords."""
        if "wifi" in settings:  # first, so that the Pi can be reached if later steps fail
            self.wifi(settings["wifi"], certificates)
        if "account" in settings:
            self.rename_account(settings["account"])
        if first or "hostname" in settings:
            self.name(settings.get("hostname") or ("desk" if self.is_desk else f"mynn-{self.number()}"))
        if first:
            self.make_host_key()
        if "timezone" in settings:
            link(self.path("/etc/localtime"), f"../usr/share/zoneinfo/{settings['timezone']}")
        if "keymap" in settings:
            self.keyboard(settings["keymap"])
        if "ssh_keys" in settings:
            self.let_in(settings["ssh_keys"])
        self.set_passwords(settings, first)

    def number(self) -> str:
        """Return six hexadecimal digits unique to this Pi, from its serial number or else its machine id."""
        file = self.path("/proc/device-tree/serial-number")
        serial = file.read_text(encoding="ascii", errors="replace").strip("\0\n") if file.exists() else ""
        if re.fullmatch("[0-9a-f]{6,}", serial) and serial.strip("0"):
            return serial[-6:]
        return sha256(b"mynn-pi " + self.path("/etc/machine-id").read_bytes().strip())[:6]

    def name(self, name: str) -> None:
        """Set the host name, in the same format as the role system."""
        write(self.path("/etc/hostname"), f"{name}\n")
        hosts = self.path("/etc/hosts")
        lines = hosts.read_text(encoding="utf-8").splitlines() if hosts.exists() else ["127.0.0.1\tlocalhost"]
        others = [line for line in lines if not re.match(r"127\.0\.1\.1\s", line)]
        write(hosts, "".join(f"{line}\n" for line in [*others, f"127.0.1.1\t{name}"]))
        if self.root == Path("/"):
            import socket

            socket.sethostname(name)

    def rename_account(self, new: str) -> None:
        """Rename the account with its group and home. usermod comes last, so the next boot resumes after a power cut.

        (A power cut within usermod, which takes milliseconds, can leave the account without a password.)
        """
        old, _, _, gid, _, home, _ = self.account()
        if new == old:
            return
        [group] = [entry[0] for entry in self.table("/etc/group") if entry[2] == gid]
        if group != new:
            self.run_on_accounts("groupmod", "--new-name", new, group)
        moved = f"{home.rpartition('/')[0]}/{new}"
        if self.path(home).is_dir():
            self.path(home).rename(self.path(moved))
            sync(self.path(moved).parent)
        self.run_on_accounts("usermod", "--login", new, "--home", moved, old)

    def keyboard(self, layout: str) -> None:
        """Set the keyboard layout, in the file of Debian's keyboard-configuration."""
        model = {"XKBMODEL": "pc105", "XKBLAYOUT": layout, "XKBVARIANT": "", "XKBOPTIONS": "", "BACKSPACE": "guess"}
        write(self.path("/etc/default/keyboard"), "".join(f'{name}="{value}"\n' for name, value in model.items()))

    def make_host_key(self) -> None:
        """Make an Ed25519 SSH host key, which is quick on a Pi Zero; replace partial ones that a power cut left."""
        key = self.path("/etc/ssh/ssh_host_ed25519_key")
        for old in key.parent.glob("ssh_host_*"):
            old.unlink()
        name = self.path("/etc/hostname").read_text(encoding="ascii").strip()
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{name}", "-f", str(key))
        for path in (key, key.with_suffix(".pub"), key.parent):
            sync(path)

    def wifi(self, text: str, certificates: dict[str, bytes]) -> None:
        """Write wpa_supplicant's configuration and the CA certificates of networks with user names."""
        folder = self.path(preseed.WIFI)
        for name, content in certificates.items():
            write(folder / f"mynn-{name}", content)
        write(folder / "wpa_supplicant-wlan0.conf", text, 0o600)
        for old in folder.glob("mynn-*"):
            if old.name.removeprefix("mynn-") not in certificates:
                remove(old)

    def let_in(self, keys: list[str]) -> None:
        """Add SSH keys to the account's authorized keys, and from then on accept only keys over SSH."""
        _, _, uid, gid, _, home, _ = self.account()
        owner = (int(uid), int(gid))
        folder = self.path(home) / ".ssh"
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
        os.chown(folder, *owner)
        file = folder / "authorized_keys"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        known = {preseed.fingerprint(line) for line in lines}
        lines += [key for key in keys if preseed.fingerprint(key) not in known]
        write(file, "".join(f"{line}\n" for line in lines), 0o600, owner)
        ours = self.path("/opt/mynn/boot/sshd.conf")  # the same file as in the role system
        write(self.path("/etc/ssh/sshd_config.d/10-mynn-pi.conf"), ours.read_bytes())

    def set_passwords(self, settings: dict[str, Any], first: bool) -> None:
        """Set the given passwords; at the first boot, generate the missing ones.

        There are two, so that a child with the notebooks' password cannot administer the Pi; several students have one
        each (notebooks-NAME). A generated password is written to this-pi.txt before it is set; a given one is not,
        since the teacher knows it.
        """
        hashed, students = settings.get("account_hash"), self.students()
        given = settings.get("passwords") or dict.fromkeys(students, settings.get("password"))
        passwords = {f"notebooks-{name}": given.get(name) for name in students}
        passwords = passwords or {"notebooks": settings.get("password")}
        passwords["account"] = settings.get("account_password") or hashed
        shown = {whose: "the one that you chose" for whose, password in passwords.items() if password}
        for whose, password in passwords.items():
            if first and not password:
                passwords[whose] = shown[whose] = new_password()
        texts = "\n".join(map(" ".join, shown.items()))
        script = Path(__file__).with_name("announce.sh")
        self.run("sh", str(script), MYNN_ROOT=str(self.root).rstrip("/"), MYNN_shown=texts)
        if not shown:
            return
        stamp = self.passwords.read_text(encoding="ascii").splitlines() if self.passwords.exists() else []
        stamps = dict(line.split() for line in stamp)
        if password := passwords.pop("account"):
            account = self.account()[0]
            method = ["--encrypted"] if password == hashed else ["--crypt-method", "YESCRYPT"]
            self.run_on_accounts("chpasswd", *method, text=f"{account}:{password}\n")
            entry = next(entry for entry in self.table("/etc/shadow") if entry[0] == account)
            stamps["account"] = sha256(f"{entry[1]}\n".encode())
        for whose in filter(passwords.get, passwords):
            name = f"password{whose.removeprefix('notebooks')}"
            file = self.path("/etc/mynn-desk" if self.is_desk else "/etc/jupyter") / name
            file.parent.mkdir(mode=0o755, exist_ok=True)
            # site.yml may have put a certificate below the hash.
            certificate = file.read_text(encoding="utf-8").partition("\n")[2] if file.exists() else ""
            text = f"{jupyter_hash(passwords[whose])}\n{certificate}"
            write(file, text, 0o400)  # the mode tells the role jupyter who wrote the file: its own has 0600
            stamps[whose] = sha256(text.encode())
        write(self.passwords, "".join(f"{whose} {stamps[whose]}\n" for whose in sorted(stamps, reverse=True)), 0o600)

    def report(self, preset: preseed.Preseed) -> None:
        """List the settings that are not applied in a file beside them; remove that file if all are."""
        file, name = self.boot / "rpi-preseed-error.txt", preseed.NAME
        left = preset.mistakes + preset.notes
        if not left:
            remove(file)
            return
        head = f"Nothing in {name} was applied:" if preset.refused else f"{name} was applied, except for this:"
        lines = [head, *left]
        if preset.mistakes:
            what = "Correct" if preset.refused else "Set it again in"
            lines.append(f"{what} {name} on this card, put the card back into the Pi and switch it on.")
        write(file, "\r\n".join([*lines, ""]))
        print(f"Some settings were not applied: see {file.name} on the boot partition.", file=sys.stderr)


def new_password() -> str:
    """Return a password with 49 bits of entropy, like those of roles/jupyter."""
    import secrets

    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def jupyter_hash(password: str) -> str:
    """Return an argon2 hash for Jupyter Server, with the costs of plugins/filter/passwords.py."""
    import argon2

    # Set the lengths to the current defaults: those of Debian 13's argon2 are shorter.
    hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
    return "argon2:" + hasher.hash(password)


def main(arguments: list[str]) -> None:
    """Configure the Pi at ROOT, the optional argument (default /)."""
    os.umask(0o022)
    Pi(Path(*arguments or ["/"])).boot_up()


if __name__ == "__main__":
    main(sys.argv[1:])
