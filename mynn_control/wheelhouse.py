"""Download the wheels for Pis of one platform, and pack them.

    python -m mynn_control.wheelhouse bookworm-armhf-armv7l FILE.tar --locks FOLDER [--piwheels ADDRESS]

A platform is suite, Debian's architecture and processor. FOLDER has the lock files, requirements-SUITE.txt. The archive
has the wheels, and a `requirements.txt` with the hashes that pip on the Pi checks. It appears whole or not at all.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from mynn.files import replacing

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
# The wheels' platform tags. Under Raspberry Pi OS, a Pi Zero can run only wheels from piwheels.
PLATFORMS = {
    "amd64-x86_64": ["manylinux_2_17_x86_64", "manylinux_2_28_x86_64"],
    "arm64-aarch64": ["manylinux_2_17_aarch64", "manylinux_2_28_aarch64"],
    "armhf-armv7l": ["manylinux_2_17_armv7l", "manylinux_2_31_armv7l"],
    "armhf-armv6l": ["linux_armv6l"],
    "armel-armv6l": [],
}
# The only compiled package that apt lacks, by suite.
COMPILED = {"bookworm": "rpds-py", "trixie": None}


def pip_download(to: Path, python: str, platforms: list[str], *arguments: str) -> None:
    """Download wheels for another machine with pip. SystemExit: pip failed, and has printed why."""
    options = ["--only-binary=:all:", "--no-deps", "--python-version", python, "--dest", str(to)]
    options += [option for platform in platforms for option in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", *options]
    if subprocess.run([*command, *arguments], check=False).returncode:
        sys.exit("Pip could not download the wheels (see above): check the Internet connection.")


def entries(requirements: str) -> list[str]:
    """Return the lock file's entries, each with its hashes."""
    lines = [line for line in requirements.splitlines() if line and not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def main() -> None:
    """Download and pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("platform", help="suite-architecture-processor of the Pis, such as trixie-armel-armv6l")
    parser.add_argument("archive", type=Path, help="the tar file to make")
    parser.add_argument("--locks", type=Path, required=True, help="the folder of the lock files")
    parser.add_argument("--piwheels", default="", help="address of piwheels' index")
    arguments = parser.parse_args()
    suite, _, processor = arguments.platform.partition("-")
    python, platforms = PYTHONS[suite], PLATFORMS[processor]
    lock = entries((arguments.locks / f"requirements-{suite}.txt").read_text(encoding="utf-8"))
    compiled = [entry for entry in lock if COMPILED[suite] and entry.startswith(f"{COMPILED[suite]}==")]
    if compiled and not platforms:
        sys.exit(f"There is no {COMPILED[suite]} for {processor} and Debian 12: flash Debian 13.")
    from_piwheels = bool(compiled) and processor == "armhf-armv6l"
    if from_piwheels and not arguments.piwheels:
        sys.exit("A Pi Zero with Raspberry Pi OS 12 needs a wheel from piwheels: set python_piwheels.")

    arguments.archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.archive.parent, prefix=".wheels-") as folder:
        wheels = Path(folder)
        if from_piwheels:
            # piwheels builds its own wheel, so the lock's hash does not fit; the download over HTTPS is trusted.
            lock = [entry for entry in lock if entry not in compiled]
            name = compiled[0].split()[0]
            pip_download(wheels, python, platforms, "--index-url", arguments.piwheels, name)
            [wheel] = wheels.iterdir()
            compiled = [f"{name} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"]
        requirements = wheels / "requirements.txt"
        requirements.write_text("\n".join(lock) + "\n", encoding="utf-8")
        pip_download(wheels, python, platforms or ["any"], "--require-hashes", "--requirement", str(requirements))
        if from_piwheels:
            requirements.write_text("\n".join(lock + compiled) + "\n", encoding="utf-8")
        with replacing(arguments.archive) as file, tarfile.open(fileobj=file, mode="w") as tar:
            for path in sorted(wheels.iterdir()):
                tar.add(path, arcname=path.name)


if __name__ == "__main__":
    main()
