#!/usr/bin/env python3
"""Let apt download all that Pis of one platform need through the cache, which then keeps it for them.

    download.py FOLDER PORT PLATFORM PACKAGE...

The platform is suite, Debian's architecture and processor, such as trixie-armhf-armv7l. FOLDER/PLATFORM holds what such
Pis have: `sources`, a folder with their apt's source lists, and `NAME.status`, each Pi's installed packages. Their
newest versions are downloaded and, for a new card, a small Debian and the named packages with their dependencies. If no
such Pi was seen, they come from the mirrors of this computer's apt.

Nothing is installed, and root is not needed. The Pis' source lists are not trusted: they are parsed and rewritten for
apt (mirrors.py), and the number of sources that were left out is printed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from mirrors import mirror, own_sites, source_lines

# The packages of every Debian.
SMALL = "?or(?essential,?priority(required),?priority(important))"
# The Pis check signatures when they install, so this computer does not need the keys of Raspberry Pi OS.
SETTINGS = """
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts {sources};
Dir::State {state};
Dir::State::status {status};
Dir::Cache {cache};
APT::Architecture {architecture};
APT::Architectures {{ {architecture}; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::http::Proxy {proxy};
Acquire::AllowInsecureRepositories "true";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "true";
APT::Update::Error-Mode "any";
Debug::NoLocking "true";
"""


class AptError(Exception):
    """Apt failed, with its own message."""


def run(command: list[str], settings: Path | None = None) -> str:
    """Return a command's output. AptError: it failed."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    if settings:
        environment["APT_CONFIG"] = str(settings)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(line for line in done.stderr.splitlines() if line.startswith("E:")) or done.stderr
        raise AptError(said)
    return done.stdout


def quoted(value: object) -> str:
    """Return a value quoted for apt.conf. SystemExit: it has a character that cannot be quoted there."""
    text = str(value)
    if '"' in text or "\\" in text or not text.isprintable():
        sys.exit(f"download.py: apt's settings cannot hold {text!a}: use another folder.")
    return f'"{text}"'


def own_sources(suite: str) -> list[str]:
    """Return source lines for a suite, from the mirrors that this computer's own apt uses."""
    release = platform.freedesktop_os_release()
    here = release.get("VERSION_CODENAME", "")
    pairs = [(site, name) for site, name in own_sites() if site.startswith("http:") and name.partition("-")[0] == here]
    if release.get("ID") != "debian" or not pairs:
        sys.exit(
            "download.py: this computer's apt has no Debian mirror over HTTP to fetch from: run "
            "`make fetch INVENTORY=inventory.ini` once while such a Pi is switched on."
        )
    return [f"deb [trusted=yes] {site} {suite}{name[len(here) :]} main" for site, name in pairs]


def seen_sources(folder: Path, state: Path) -> list[str]:
    """Return the Pis' source lines, as far as the cache may fetch from them."""
    mirrors = {mirror(name) for name in json.loads(state.read_text(encoding="ascii"))["mirrors"]}
    names = sorted(path for path in folder.glob("*") if path.suffix in (".list", ".sources"))
    lines, left_out = source_lines({path.name: path.read_text("utf-8", "replace") for path in names}, mirrors)
    if left_out:
        print(f"{left_out} sources of {folder.parent.name} Pis were left out: not in apt_cache_mirrors.")
    if not lines:
        sys.exit(
            f"download.py: no source of {folder.parent.name} Pis is one of the cache's mirrors "
            f"({', '.join(sorted(map(str, mirrors)))}): if you trust the Pis' mirrors, add them to apt_cache_mirrors."
        )
    return lines


def download(folder: Path, port: int, pi_platform: str, packages: list[str]) -> None:
    """Let apt download what Pis of this platform need into a temporary folder; the cache keeps it."""
    if not re.fullmatch(r"[a-z]+-[a-z0-9]+-[a-z0-9_]+", pi_platform):
        sys.exit(f"download.py: not a platform (such as trixie-armhf-armv7l): {pi_platform!a}")
    suite, architecture = pi_platform.split("-")[:2]
    statuses = sorted((folder / pi_platform).glob("*.status"))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        work = Path(temporary)
        for name in ("state/lists/partial", "cache/archives/partial", "sources"):
            (work / name).mkdir(parents=True)
        lines = seen_sources(folder / pi_platform / "sources", folder / "state") if statuses else own_sources(suite)
        (work / "sources/mirrors.list").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fresh = work / "fresh"  # a new card
        fresh.touch()
        for status in (fresh, *statuses):
            settings = work / "apt.conf"
            values = {
                "sources": work / "sources",
                "state": work / "state",
                "status": status,
                "cache": work / "cache",
                "architecture": architecture,
                "proxy": f"http://127.0.0.1:{port}",
            }
            text = SETTINGS.format(**{name: quoted(value) for name, value in values.items()})
            settings.write_text(text, encoding="utf-8")
            if status == fresh:
                run(["apt-get", "--quiet", "update"], settings)
            try:
                for verb in (["dist-upgrade"], ["install", *([SMALL] if status == fresh else []), *packages]):
                    run(["apt-get", "--quiet", "--yes", "--download-only", *verb], settings)
            except AptError as error:
                if status == fresh or "Failed to fetch" in str(error):
                    raise
                print(f"{status.stem}: apt cannot read its list of packages; those of all others were downloaded.")


if __name__ == "__main__":
    try:
        download(Path(sys.argv[1]).expanduser().absolute(), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except AptError as failure:
        sys.exit(f"download.py: apt could not download the packages:\n{failure}\nCheck the Internet connection.")
