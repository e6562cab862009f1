"""Download all packages that Pis of one platform need, with apt and through the package cache, which keeps them.

    python -m mynn_control.apt_fetch FOLDER PORT PLATFORM [--mirrors MIRROR...] --packages PACKAGE...

A platform is suite, Debian's architecture and processor, such as trixie-armhf-armv7l. FOLDER/PLATFORM has two files for
each known Pi: `NAME.sources`, its apt sources (mynn_control.apt_mirrors), and `NAME.status`, its installed packages.
It downloads the newest versions of these and, for a new card, a minimal Debian and the named packages with their
dependencies. If no Pi of the platform is known, the mirrors of this computer's apt are used.

Nothing is installed, and root is not needed. Prints how many sources were skipped because their mirror is not allowed.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from mynn_control.apt_mirrors import mirror, own_mirrors, own_sources, source_lines

# A minimal Debian.
SMALL = "?or(?essential,?priority(required),?priority(important))"
# The Pis check signatures when they install, so this computer does not need the keys of Raspberry Pi OS.
SETTINGS = """
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{work}/mirrors.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{work}/state";
Dir::State::status "{status}";
Dir::Cache "{work}/cache";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::http::Proxy "http://127.0.0.1:{port}";
Acquire::AllowInsecureRepositories "true";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "true";
APT::Update::Error-Mode "any";
Debug::NoLocking "true";
"""


def run(command: list[str], settings: Path) -> None:
    """Run apt. SystemExit: it failed; the message is its own, and what to do."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "APT_CONFIG": str(settings)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        failure = "\n".join(line for line in done.stderr.splitlines() if line.startswith("E:")) or done.stderr
        sys.exit(
            f"Apt could not download the packages:\n{failure}\nCheck the Internet connection. If apt cannot read a file"
            " that is named after a Pi, run `make site` with that Pi on, and then this again."
        )


def sources_here(suite: str) -> list[str]:
    """Return source lines for a suite, from the mirrors of this computer's apt. SystemExit: it has none."""
    release = platform.freedesktop_os_release()
    here = release.get("VERSION_CODENAME", "")
    pairs = {(site, name) for site, name, _ in own_sources() if site.startswith("http:") and name.startswith(here)}
    if release.get("ID") != "debian" or not pairs:
        sys.exit(
            "This computer's apt has no Debian mirror over HTTP to fetch from: run `make fetch` once"
            " while such a Pi is switched on."
        )
    return [f"deb [trusted=yes] {site} {suite}{name[len(here) :]} main" for site, name in sorted(pairs)]


def seen_sources(folder: Path, mirrors: list[str]) -> list[str]:
    """Return the Pis' source lines on mirrors that the cache may use. SystemExit: no line is left."""
    allowed = {*map(mirror, mirrors), *own_mirrors()}
    listed = "\n".join(path.read_text("utf-8", "replace") for path in sorted(folder.glob("*.sources")))
    lines, left_out = source_lines(listed, allowed)
    if left_out:
        print(f"{left_out} sources of {folder.name} Pis were left out: not in apt_cache_mirrors.")
    if not lines:
        names = ", ".join(sorted(allowed))
        sys.exit(
            f"No source of {folder.name} Pis is one of the cache's mirrors ({names}): if you trust the Pis' mirrors,"
            " add them to apt_cache_mirrors."
        )
    return lines


def download(folder: Path, port: int, pi_platform: str, mirrors: list[str], packages: list[str]) -> None:
    """Download the packages for Pis of this platform into a temporary folder; the cache keeps them."""
    suite, architecture, _ = pi_platform.split("-")
    statuses = sorted((folder / pi_platform).glob("*.status"))
    lines = seen_sources(folder / pi_platform, mirrors) if statuses else sources_here(suite)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        work = Path(temporary)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "mirrors.list").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        fresh = work / "fresh"  # a new card: nothing is installed
        fresh.touch()
        settings = work / "apt.conf"
        for status in (fresh, *statuses):
            text = SETTINGS.format(work=work, status=status, architecture=architecture, port=port)
            settings.write_text(text, encoding="ascii")
            if status == fresh:
                run(["apt-get", "--quiet", "update"], settings)
            for verb in (["dist-upgrade"], ["install", *([SMALL] if status == fresh else []), *packages]):
                run(["apt-get", "--quiet", "--yes", "--download-only", *verb], settings)


def main() -> None:
    """Download as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("platform")
    for name in ("--mirrors", "--packages"):
        parser.add_argument(name, nargs="*", default=[])
    asked = parser.parse_args()
    download(asked.folder.expanduser().absolute(), asked.port, asked.platform, asked.mirrors, asked.packages)


if __name__ == "__main__":
    main()
