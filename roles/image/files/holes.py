#!/usr/bin/env python3
"""List the holes that Debian's security tracker knows in an image's packages.

    holes.py LIST.cdx.json TRACKER.json OUT.holes.txt --suite trixie

LIST is what manifest.py made; TRACKER is the tracker's data, as debsbom downloads it. What a teacher can do something
about comes first in OUT, and what Debian calls minor last. OUT appears whole or not at all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from debsbom.dpkg.package import filter_sources
from debsbom.resolver import PackageResolver
from debsbom.securityscan.scanner import CveEntry, CveStatus, CveUrgency, ScanResultItem, SecurityScanner
from packing import PackingError, exit_on_error, scratch_folder

from ansible_collections.mynn.pi.plugins.module_utils.text import printable

LARGEST = 1 << 29  # bytes of TRACKER; it has some 70 MB, and takes five times that in memory
CLOSED, OPEN, MINOR, UNCLEAR = GROUPS = (
    "closed by Debian since: `make update` installs that",
    "not closed by Debian yet",
    "minor: Debian plans no update for them, or they do no harm in its packages",
    "not examined by Debian yet: they may not concern its version",
)


def group(found: ScanResultItem) -> str:
    """Return where a hole belongs in the list, or nothing if the package does not have it."""
    hole: CveEntry = found.vulnerability
    if hole.status == CveStatus.RESOLVED:
        # Without a version, this release never had it; debsbom counts that as affected.
        return CLOSED if found.affected and hole.fixed_version else ""
    if hole.status == CveStatus.UNDETERMINED:
        return UNCLEAR
    # <no-dsa>, <ignored> and <postponed> have a comment, which may be empty.
    return MINOR if hole.urgency == CveUrgency.UNIMPORTANT or hole.nodsa is not None else OPEN


def line(found: ScanResultItem) -> str:
    """Return what the list says of a hole."""
    hole = found.vulnerability
    urgency = "" if hole.urgency == CveUrgency.NOT_YET_ASSIGNED else str(hole.urgency)
    fixed = f"closed in {hole.fixed_version}" if group(found) == CLOSED else ""
    words = [f"{found.package.name} {found.package.version}", hole.cve, urgency, fixed, hole.nodsa or ""]
    return printable("  ".join(filter(None, words)))


def holes(listed: Path, tracker: Path, suite: str) -> Iterator[ScanResultItem]:
    """Yield the holes that the tracker knows. PackingError: it knows nothing of the suite."""
    scanner = SecurityScanner(tracker, distro=suite)
    known = (issue["releases"] for issues in scanner.ct.db.values() for issue in issues.values())
    if not any(suite in releases for releases in known):
        raise PackingError(f"{tracker} knows nothing of {suite}")
    for found in scanner.scan(filter_sources(list(PackageResolver.create(listed)))):
        if group(found):
            yield found


def known_holes(listed: Path, tracker: Path, suite: str) -> dict[str, list[str]]:
    """Return the lines of each group. PackingError: the tracker's data cannot be used."""
    again = "Download it again: `.venv/bin/debsbom sec-scan --update-db LIST.cdx.json`"
    if tracker.stat().st_size > LARGEST:
        raise PackingError(f"{tracker} is too large for the data of Debian's security tracker. {again}")
    lines: dict[str, list[str]] = {title: [] for title in GROUPS}
    try:
        for found in holes(listed, tracker, suite):
            lines[group(found)].append(line(found))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise PackingError(f"{tracker} is not the data of Debian's security tracker ({reason}). {again}") from None
    return {title: sorted(some) for title, some in lines.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("listed", type=Path, help="the list of packages")
    parser.add_argument("tracker", type=Path, help="the data of Debian's security tracker")
    parser.add_argument("out", type=Path, help="the list to write")
    parser.add_argument("--suite", required=True, help="Debian's suite")
    arguments = parser.parse_args()
    with exit_on_error("holes.py"):
        lines = known_holes(arguments.listed, arguments.tracker, arguments.suite)
        date = time.strftime("%-d %B %Y", time.localtime(arguments.tracker.stat().st_mtime))
        parts = [f"Holes in the packages of {arguments.listed.name}, by Debian's security tracker of {date}\n"]
        parts += [f"{len(some)} {title}\n" + "".join(f"  {one}\n" for one in some) for title, some in lines.items()]
        with scratch_folder(arguments.out) as scratch:
            (scratch / "list").write_text("\n".join(parts), encoding="utf-8")
            (scratch / "list").replace(arguments.out)
        closed, still, *others = (len(some) for some in lines.values())
        print(
            f"Debian's security tracker of {date} knows {closed + still} holes in these packages: {closed} that "
            f"`make update` closes, and {still} that Debian has not closed yet. ({sum(others)} more are minor, or not "
            f"examined.) They are listed in {arguments.out}."
        )


if __name__ == "__main__":
    main()
