"""The tab Work: collected work, and files to hand out. Its choices are the folders on this computer."""

from __future__ import annotations

import os
import re
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ansible_collections.mynn.pi.plugins.module_utils.collection import BESIDE, SUMS, files_in
from ansible_collections.mynn.pi.plugins.module_utils.text import printable
from mynn_control.desk.backup import UNFINISHED
from mynn_control.desk.database import Groups, Seat
from mynn_control.desk.runs import Run
from mynn_control.render import for_templates, render
from mynn_control.translation import _

# Names without a special meaning to Ansible or a shell.
DATE, NAME, OWN = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", r"[A-Za-z0-9][\w.-]*", r"\w[\w .,-]*"
WHEN = "%Y-%m-%d_%H-%M-%S"
DAY = r"\d{4}-\d\d-\d\d"  # name of a folder with uploaded files
LONGEST = 200  # bytes in a file's name
LARGEST = 64_000_000  # bytes in an uploaded file, because it goes to every Pi over the Wi-Fi


def collected(work: Path) -> dict[str, list[str]]:
    """Return the collections in a folder, the newest first: DATE/PI → students."""
    folders = sorted((path.parent for path in work.glob(f"*/*/{SUMS}")), key=lambda of: (of.parent.name, of.name))
    return {
        f"{of.parent.name}/{of.name}": sorted({inner.name.removesuffix(BESIDE) for inner in of.glob("[!.]*/")})
        for of in reversed(folders)
        if re.fullmatch(DATE, of.parent.name) and when(of.parent.name) and re.fullmatch(NAME, of.name)
    }


def packed(work: Path, place: str) -> Path:
    """Pack a collection (DATE/PI) into a new ZIP file beside the folder `work`, and return its path."""
    with (
        tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=work.parent, delete=False) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
    ):
        for path in sorted((work / place).rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = os.fsencode(path.relative_to(work)).decode(errors="replace")
                archive.write(path, name)
    return Path(file.name)


def handout(desk: Path, name: str) -> Path:
    """Return the path for an uploaded file to hand out, in today's folder, which is created.

    Any kind of space in the name becomes an ordinary one. ValueError: the name is not allowed.
    """
    kept = unicodedata.normalize("NFC", " ".join(name.split())) or "."
    spaces = {one for one in name if unicodedata.category(one) == "Zs"}  # neither tabs nor line breaks
    bad = (one for one in name if one == "/" or not (one.isprintable() or one in spaces))
    wrong = "." if kept[0] == "." else next(bad, "")
    if wrong or len(os.fsencode(kept)) > LONGEST:
        letter = _("“{name}” was not kept, because its name contains “{letter}”: rename the file.")
        long = _("“{name}” was not kept: its name is too long.")
        raise ValueError((letter if wrong else long).format(name=printable(name, 100), letter=printable(wrong)))
    folder = desk.parents[1] / "handout" / time.strftime("%Y-%m-%d")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / kept


def handouts(desk: Path) -> dict[str, Path]:
    """Return the folders that can be handed out, by name. desk: the folder with the class's test set."""
    folders = [*sorted((desk.parents[1] / "handout").glob("*/")), desk / "test_set"]
    return {of.name: of for of in folders if of.is_dir() and re.fullmatch(OWN, of.name)}


def delete_file(desk: Path, given: Mapping[str, str]) -> str:
    """Delete an uploaded file from a day's folder. Returns the error message, or nothing."""
    name, file = given.get("folder", ""), given.get("file", "")
    folder = handouts(desk).get(name)
    if not folder or not re.fullmatch(DAY, name) or file not in files_in(folder):
        return _("There is no such file any more.")
    (folder / file).unlink()
    with suppress(OSError):  # other files are left
        folder.rmdir()
    return ""


def draw(
    pis: Mapping[str, Mapping[str, str]],
    work: Path,
    folders: Mapping[str, Sequence[str]],
    run: Run | None,
    names_at: Callable[[float], Mapping[Seat, str]],
    groups: Groups,
) -> str:
    """Return the page. pis: name → students' URLs. folders: those to hand out, with their files.

    names_at: time → pupils' names by seat. run: the last one; after `look`, the page offers a reset, and after a reset,
    its undoing.
    """
    ended = run.name if run and run.how else ""
    collections = collected(work)
    dates = {place.partition("/")[0] for place in collections}
    names = {date: names_at(when(date)) for date in dates}
    parts = {
        "tab": "work",
        "pis": list(pis),
        "accounts": sorted({account for of in pis.values() if len(of) > 1 for account in of}),
        "groups": groups,
        "collections": collections,
        "names": names,
        "folders": folders,
        "days": [name for name in folders if re.fullmatch(DAY, name)],
        "work": work,
        "largest": LARGEST,
        "look": run if ended == "look" else None,
        "reset": run if ended == "reset" else None,
        "last": {pi: next((place for place in collections if place.endswith(f"/{pi}")), "") for pi in pis},
    }
    return render("work", parts)


def when(date: str) -> float:
    """Return a collection's time in seconds since 1970; 0 if the date is invalid."""
    try:
        return time.mktime(time.strptime(date, WHEN))
    except (ValueError, OverflowError):
        return 0.0


for_templates(when)
