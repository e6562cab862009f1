"""Pack the archive for the desk's SD card: this project, the desk's wheels, and files for the class's Pis.

    python -m mynn_control.desk_card ABOUT

ABOUT is JSON from the role desk: `archive`, the file to write; `project`, its folder; `wheels`, the archive of the
desk's own wheels; `built`, the output of mynn_control.wheels; and `keep`, further files by their place. The archive has
the folders wheels, project (files that git tracks, and the built translations) and kept. Its hash is printed: the same
files give the same hash.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import ansible

from mynn.files import replacing

# Not packed. Of the tests, the desk needs only tests/provisioned, to verify Pis.
WITHOUT = [f"tests/{name}" for name in ("benchmarks", "classroom", "support", "unit", "virtual")]
WITHOUT += [".ci", ".github", ".gitignore", "locale"]
# Built from locale/ by mynn_control/languages.py. They are packed, so that the card needs no Babel.
TRANSLATED = [
    "mynn/catalogs/*",
    "mynn_control/catalogs/*",
    "mynn_server/page/[a-z][a-z]/**/*",
    "notebooks/[a-z][a-z]/*",
]
# The Ansible collections that the playbooks use; all of them take 600 MB.
COLLECTIONS = ["ansible/posix", "community/crypto"]
THEN = 1_000_000_000  # modification time of all files, in seconds since 1970


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member of an archive without properties that differ between computers."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.pax_headers = THEN, {}  # pax headers would keep a long name's old value
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def contents(about: dict[str, Any]) -> dict[str, Path]:
    """Return the files and folders to pack besides the desk's wheels, by place in the archive."""
    project = Path(about["project"])
    # Only what git tracks, so none of the files that a teacher edits.
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
    """Write the archive, whole or not at all, and print its hash."""
    archive = Path(about["archive"])
    archive.parent.mkdir(exist_ok=True)
    with replacing(archive) as new, tarfile.open(fileobj=new, mode="w") as to, tarfile.open(about["wheels"]) as wheels:
        for member in wheels:
            member.name = f"wheels/{member.name}"
            to.addfile(plain(member), wheels.extractfile(member))
        for place, path in sorted(contents(about).items()):
            to.add(path, place, filter=plain)
    with archive.open("rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest()[:12], end="")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
