"""Build the manual as a zip archive, unless its sources have not changed.

    python -m mynn_control.manual PROJECT [LANGUAGE...]

Prints the archive's path, PROJECT/build/manual.zip. The manual is also built in these languages, each in a folder named
by its code; only the pages for teaching are translated. The archive's comment is a hash of the sources. The same
sources give the same archive, so nothing is sent to a Pi that has it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from mynn_control import wheels

# docs/, the sources of its reference pages, and the pinned versions of its tools.
SOURCES = (
    "docs/**/*",
    "locale/*/teach.po",
    "*.md",
    "Makefile",
    "mynn/**/*.py",
    "mynn_control/project.py",
    "mynn_control/settings.py",
    "notebooks/*.ipynb",
    "playbooks/group_vars/all/defaults.yml",
    "pyproject.toml",
    "requirements.txt",
    "roles/*/defaults/main.yml",
    "roles/*/meta/argument_specs.yml",
)
UNREAD = {".map", ".inv", ".buildinfo"}  # files that no page needs
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip file


def digest(project: Path, languages: list[str]) -> bytes:
    """Return a hash of the sources, with Python's version and the languages."""
    paths = sorted({path for pattern in SOURCES for path in project.glob(pattern) if path.is_file()})
    files = {str(path.relative_to(project)): path for path in paths if "__pycache__" not in path.parts}
    return f"{wheels.digest({**files, '': Path(__file__)})} {sys.version_info[:2]} {languages}".encode()


def comment(archive: Path) -> bytes:
    """Return an archive's comment; b"" if the archive is missing or damaged."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.comment
    except (OSError, zipfile.BadZipFile):
        return b""


def build(project: Path, pages: Path, language: str) -> None:
    """Write the pages in a language into a folder with Sphinx. SystemExit: Sphinx failed."""
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-t", "pi"]  # without the answers: see docs/conf.py
    command = [*sphinx, "-D", f"language={language}", "-d", f"{pages}.trees", f"{project}/docs", f"{pages}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Sphinx could not build the manual: {done.stderr.strip()[-2000:]}")


def pack(pages: Path, archive: Path, sum_: bytes) -> None:
    """Pack the pages into a reproducible archive with this comment."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(path for path in pages.rglob("*") if path.is_file()):
            if path.suffix not in UNREAD and path.name not in UNREAD:
                entry = zipfile.ZipInfo(path.relative_to(pages).as_posix(), EPOCH)
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
        packed.comment = sum_


def main() -> None:
    """Build the archive if its sources have changed, and print its path."""
    project, languages = Path(sys.argv[1]).resolve(), sorted({*sys.argv[2:]} - {"en"})
    archive, sum_ = project / "build/manual.zip", digest(project, languages)
    # The desk's card has the archive, but not Sphinx.
    if comment(archive) != sum_ and (find_spec("sphinx") or not archive.exists()):
        archive.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".manual-") as folder:
            build(project, Path(folder, "pages"), "en")
            for language in languages:
                build(project, Path(folder, "pages", language), language)
            pack(Path(folder, "pages"), Path(folder, "manual.zip"), sum_)
            Path(folder, "manual.zip").replace(archive)
    print(archive, end="")


if __name__ == "__main__":
    main()
