"""Pack what the desk's card gets: this project, its wheels, and what it has for the class's Pis.

    python -m mynn_control.desk_card ABOUT

ABOUT is JSON, as the role desk hands it over: the `archive` to make, the `project`, the archive of the desk's own
`wheels`, what mynn_control.wheels `built`, and further files that the desk is to `keep`, by their place. The archive
has the folders wheels, project (what git knows of it, and what is made of its translations) and kept. Its sum is
printed: the same files give the same one.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import ansible

# All but tests; those of a Pi, with which it is verified, are for the desk, too.
WITHOUT = [
    *(f"tests/{name}" for name in ("benchmarks", "classroom", "support", "unit", "virtual")),
    ".ci",
    ".gitignore",
    "locale",
]
# Made of locale/ (mynn_control/languages.py), with Babel, which the card does not need for this.
TRANSLATED = [
    "mynn/catalogs/*",
    "mynn_control/catalogs/*",
    "mynn_server/page/[a-z][a-z]/**/*",
    "notebooks/[a-z][a-z]/*",
]
# Of Ansible's collections, which take 600 MB, those that the playbooks use.
COLLECTIONS = ["ansible/posix", "community/crypto"]
THEN = 1_000_000_000  # the time of all files


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member without what differs from computer to computer."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.pax_headers = THEN, {}  # where a long name would stay as it was
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def contents(about: dict[str, Any]) -> dict[str, Path]:
    """Return what is packed besides the wheels, files and folders, by its place."""
    project = Path(about["project"])
    # What a teacher edits is not tracked by git.
    tracked = ["git", "-C", str(project), "ls-files", "-z", "--", ".", *(f":!{path}" for path in WITHOUT)]
    names = subprocess.check_output(tracked, text=True).split("\0")
    translated = [path for pattern in TRANSLATED for path in project.glob(pattern) if path.is_file()]
    names += [str(path.relative_to(project)) for path in translated]
    found = {f"project/{name}": project / name for name in names if name}
    beside = Path(ansible.__file__).parents[1] / "ansible_collections"
    found |= {f"project/collections/ansible_collections/{name}": beside / name for name in COLLECTIONS}
    built = about["built"]
    wheels = {Path(path).parent.name: Path(path) for path in (built["plain"], built["server"])}
    wheels |= {architecture: Path(path) for architecture, path in built["wheels"].items()}
    kept = {f"build/wheel/{folder}/{path.name}": path for folder, path in wheels.items()}
    kept |= {place: Path(path) for place, path in about["keep"].items()}
    return found | {f"kept/{place}": path for place, path in kept.items()}


def main(about: dict[str, Any]) -> None:
    """Pack it, whole or not at all."""
    archive = Path(about["archive"])
    archive.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".desk-") as folder:
        new = Path(folder, "archive")
        with tarfile.open(new, "w") as to, tarfile.open(about["wheels"]) as wheels:
            for member in wheels:
                member.name = f"wheels/{member.name}"
                to.addfile(plain(member), wheels.extractfile(member))
            for place, path in sorted(contents(about).items()):
                to.add(path, place, filter=plain)
        new.replace(archive)
    with archive.open("rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest()[:12], end="")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
