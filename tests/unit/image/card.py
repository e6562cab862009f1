"""A folder as the card of a Pi: what the first boot reads and writes, and the real programs that run on it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mynn.pi.plugins.module_utils import preseed
from tests.support.programs import DEBIAN_12, ROOT
from tests.unit.image.test_preseed import TEMPLATE, authority

TREE = ROOT / "roles/image/files/first_boot"
PROGRAM = TREE / "opt/mynn/boot/first_boot.py"
SYSTEM = ROOT / "roles/system"
SETTINGS = "boot/firmware/rpi-preseed.toml"
CONF = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"

sys.modules["preseed"] = preseed  # on a Pi, the role puts it beside the program
_spec = importlib.util.spec_from_file_location("first_boot", PROGRAM)
assert _spec and _spec.loader
first_boot = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(first_boot)


class Card:
    """A card made from the image: all files that the first boot reads or writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folders = ["issue.d", "ssh/sshd_config.d", "wpa_supplicant", "default"]
        for folder in ("home/pi", "var/lib", *(f"etc/{folder}" for folder in folders)):
            (root / folder).mkdir(parents=True)
        self.write("etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\timage\n::1\tlocalhost ip6-localhost\n")
        self.write("etc/passwd", "root:x:0:0::/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n")
        self.write("etc/shadow", "root:*:20000:0:99999:7:::\npi:!:20000:0:99999:7:::\n")
        (root / "etc/shadow").chmod(0o640)
        self.write("etc/group", "root:x:0:\nnetdev:x:105:pi,other\npi:x:1000:\n")
        self.write("etc/gshadow", "netdev:!::pi,other\npi:!::\n")
        for kind in ("rsa", "ed25519"):
            self.write(f"etc/ssh/ssh_host_{kind}_key", "the image's, so known to everybody")
        self.write("opt/mynn/boot/sshd.conf", (SYSTEM / "files/sshd.conf").read_text())  # as the role installs it
        self.write("etc/machine-id", f"{os.urandom(16).hex()}\n")  # systemd fills an empty one
        self.write("boot/firmware/school-ca.pem", authority())
        for path in (SETTINGS, "opt/mynn/boot/rpi-preseed.toml"):
            self.write(path, TEMPLATE.read_text().replace("\n", "\r\n"))

    def write(self, path: str, content: str | bytes) -> None:
        """Replace a file on the card, as root may, even if nobody may write to it."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).unlink(missing_ok=True)
        (self.root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        """Read a file from the card."""
        return (self.root / path).read_bytes().decode()

    def boot(self, settings: str | bytes | None = None) -> None:
        """Run the first boot, with new settings if given."""
        if DEBIAN_12:
            pytest.skip("chpasswd of Debian 12 has no --prefix: run it on Debian 13, as images are")
        if settings is not None:
            self.write(SETTINGS, settings)
        first_boot.main([str(self.root)])

    def announce(self) -> None:
        """Run what writes this-pi.txt."""
        environment = os.environ | {"MYNN_ROOT": str(self.root)}
        subprocess.run(["/bin/sh", PROGRAM.with_name("announce.sh")], env=environment, check=True)

    @property
    def error(self) -> str:
        """The contents of rpi-preseed-error.txt, or an empty string."""
        path = self.root / "boot/firmware/rpi-preseed-error.txt"
        return path.read_bytes().decode() if path.exists() else ""

    def fact(self, label: str) -> str:
        """Return the value of a label in this-pi.txt."""
        found = re.search(f"^{label}: *(.*)\r$", self.read("boot/firmware/this-pi.txt"), re.M)
        assert found
        return found[1]

    def shadow(self) -> str:
        """Return the account's hashed password."""
        return self.read("etc/shadow").splitlines()[1].split(":")[1]

    def files(self) -> dict[str, tuple[int, int, bytes]]:
        """Return the mode, time and contents of every file."""
        paths = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        return {
            path.relative_to(self.root).as_posix(): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
            for path in paths
            if not path.name.endswith(("-", ".lock"))
        }
