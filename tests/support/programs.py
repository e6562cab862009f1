"""Where the programs under test are, and how to run them."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mynn.files import locked

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))

# Some tests use programs as Debian 13 has them, which images and most Pis have.
DEBIAN_12 = platform.freedesktop_os_release().get("VERSION_ID") == "12"

SUDO = """\
#!/bin/sh
until [ "$given" = '{password}' ]; do printf 'mitogen-sudo-prompt:' >/dev/tty; read -r given </dev/tty; done
while [ "$1" != -- ]; do shift; done; shift
exec "$@"
"""


def run_playbook(
    *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 1800
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook with these arguments, here. env: more of its environment."""
    command, env = [ANSIBLE_PLAYBOOK, *map(str, arguments)], os.environ | (env or {})
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    print(done.stdout[-20000:], done.stderr[-5000:])  # pytest shows it if the test fails
    return done


def build_kernel() -> None:
    """Build mynn's compiled kernel in this folder, where there is a compiler."""
    with locked(ROOT / "mynn"):  # two stages of tests may arrive here at the same time
        subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=ROOT, check=True)


def sudo_that_takes(password: str, path: Path) -> Path:
    """Write a program that asks for a password as sudo does, which asks root for nothing; return its path."""
    path.write_text(SUDO.format(password=password))
    path.chmod(0o755)
    return path
