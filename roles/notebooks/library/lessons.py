#!/usr/bin/python3
"""Ansible module: lessons in a student's folder, where nothing of the student's is ever lost."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import itertools
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: lessons
short_description: Lessons in a student's folder
description:
  - A lesson is a notebook, or a picture that goes with one.
  - Puts each lesson into the student's folder, and an untouched copy into a folder that only root can change.
  - A lesson that the student has not touched is updated. One that was touched is left alone, and a new version is
    put beside it as C(NAME (new).ipynb), once. One that is not there comes back.
  - Touched is what has other bytes than any version that was handed out under this name. Which these are is
    remembered in C(.handed_out.json) beside the untouched copies; should it be lost, files count as touched.
  - Where the student has put something else in place of a lesson's folder, that is left alone, and what would be in the
    folder does not come.
  - The student's home is closed to other accounts.
  - The student's folder is worked in with the student's powers only, so a link in it leads nowhere else.
options:
  lessons:
    description: For each lesson's file name, its contents in base64. A folder may stand before it, as in C(a/b.png).
    type: dict
    required: true
  student:
    description: The account that owns the folder.
    type: str
    required: true
  folder:
    description: The student's folder.
    type: path
    required: true
  pristine:
    description: The folder of the untouched copies. Any other file in it is removed.
    type: path
    required: true
author: The mynn-pi authors
"""

EXAMPLES = r"""
- lessons:
    student: student
    folder: /home/student/notebooks
    pristine: /opt/mynn/notebooks
    lessons: {"part2.ipynb": "{{ lookup('ansible.builtin.file', 'part2.ipynb', rstrip=false) | b64encode }}"}
"""

HANDED_OUT = ".handed_out.json"
OURS = ".mynn-lesson-"  # a file with this prefix in the student's folder is ours: a lesson on its way to its place
FOREIGN = ""  # the fingerprint of what cannot be a lesson: a folder, a link, another's file, a very large file
LARGE = 1 << 24
Change = tuple[str, str]  # before, after


class Memory:
    """Which versions of each lesson were handed out, as SHA256 sums.

    known: by name, every version that the student may have got; a file with such bytes is untouched.
    given: by name, the newest version that the student did get; it is not handed out again.
    """

    def __init__(self, known: dict[str, list[str]], given: dict[str, str]) -> None:
        self.known = known
        self.given = given

    @classmethod
    def read(cls, path: Path) -> Memory:
        """Read what was remembered; what is missing or damaged is forgotten."""
        try:
            stored = json.loads(path.read_bytes())
            known = {str(name): [str(sum_) for sum_ in sums] for name, sums in stored["known"].items()}
            return cls(known, {str(name): str(sum_) for name, sum_ in stored["given"].items()})
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return cls({}, {})

    def bytes(self) -> bytes:
        """Return what `read` reads."""
        stored = {"known": self.known, "given": self.given}
        return json.dumps(stored, indent=1, sort_keys=True).encode() + b"\n"


def sha256(content: bytes) -> str:
    """Return the sum as a hexadecimal word."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(path: Path) -> str | None:
    """Return the SHA256 of a file of this process's account, None if nothing is there, FOREIGN for all else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGE or found.st_uid != os.geteuid():
        return FOREIGN
    try:
        # Should it have become a link or a pipe just now, opening must neither follow nor wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return FOREIGN
    with os.fdopen(descriptor, "rb") as file:
        return sha256(file.read(LARGE))


def place_for(path: Path, version: str, known: set[str], given: str | None) -> Path | None:
    """Return where a lesson is to be written, or None if it need not be.

    Its own name, if that is free or untouched; else, unless this version was given before, a name beside it.
    """
    for place in itertools.chain([path], names_beside(path)):
        found = fingerprint(place)
        if found == version:
            return None
        if found is None or found in known:
            return place
        if given == version:
            return None
    raise AssertionError("names_beside never ends")


def names_beside(path: Path) -> Iterator[Path]:
    """Give part2 (new).ipynb, part2 (new 2).ipynb, and so on."""
    yield path.with_stem(f"{path.stem} (new)")
    for number in itertools.count(2):
        yield path.with_stem(f"{path.stem} (new {number})")


def put(place: Path, content: bytes, known: set[str]) -> bool:
    """Write a lesson where nothing is, or in place of an untouched one. Returns False if the student was faster.

    At no moment is the place empty or half-written. OSError: the card is full.
    """
    descriptor, name = tempfile.mkstemp(prefix=OURS, suffix=".new", dir=place.parent)
    new = Path(name)
    old = new.with_suffix(".old")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        if fingerprint(place) is None:
            os.link(new, place)  # unlike a rename, this never takes another file's place
            return True
        os.link(place, old)
        new.replace(place)
        if fingerprint(old) in known:
            old.unlink()
            return True
        old.replace(place)  # the student saved at this very moment: back it goes
    except (FileExistsError, FileNotFoundError):
        pass  # made or removed at this very moment
    finally:
        new.unlink(missing_ok=True)
    return False


def close(home: Path, dry: bool) -> list[Change]:
    """Let others than the student and the student's group not look into the home. Returns what changes."""
    if not home.is_dir() or home.stat().st_uid != os.geteuid() or not home.stat().st_mode & 0o007:
        return []
    if not dry:
        home.chmod(0o750)
    return [(f"{home} open to others", f"{home} 0750")]


def open_folder(folder: Path, dry: bool) -> list[Change]:
    """Make a folder, unless it is there, and let its owner into it. Returns what changes."""
    if not folder.is_dir():
        if not dry:
            folder.mkdir(parents=True)
        return [(f"{folder} absent", f"{folder} a folder")]
    if folder.stat().st_mode & 0o700 == 0o700:
        return []
    if not dry:
        folder.chmod(folder.stat().st_mode | 0o700)
    return [(f"{folder} closed to its owner", f"{folder} open to its owner")]


def may_be_folder(path: Path) -> bool:
    """Whether this is a folder of this process's account, and no link to one, or nothing at all yet."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def hand_out(folder: Path, lessons: dict[str, bytes], memory: Memory, dry: bool) -> list[Change]:
    """Bring the lessons into the student's folder; when `dry`, only look. Runs as the student.

    Returns what changes.
    """
    changes = open_folder(folder, dry)
    places = {folder}
    for place in sorted({(folder / name).parent for name in lessons} - places):
        if may_be_folder(place):
            changes += open_folder(place, dry)
            places.add(place)
    known_of_any = set(itertools.chain(*memory.known.values()))
    for rest in [rest for place in places for rest in place.glob(f"{OURS}*")]:  # a killed run left it
        if rest.suffix == ".new" or rest.lstat().st_nlink > 1 or fingerprint(rest) in known_of_any:
            changes.append((f"{rest} half-made", f"{rest} absent"))
            if not dry:
                rest.unlink()
    for name, content in lessons.items():
        version, known = sha256(content), set(memory.known[name])
        if (folder / name).parent not in places:
            continue
        while place := place_for(folder / name, version, known, memory.given.get(name)):
            before = fingerprint(place)
            if dry or put(place, content, known):
                changes.append((f"{place} {before or 'absent'}", f"{place} {version}"))
                break
    return changes


def ensure_folders(folders: set[Path], dry: bool) -> list[Change]:
    """Make the folders of the untouched copies, which all may read and only root change. Returns what changes."""
    changes = []
    for absent in sorted({path for folder in folders for path in (folder, *folder.parents) if not path.exists()}):
        changes.append((f"{absent} absent", f"{absent} a folder"))
        if not dry:
            absent.mkdir()
            absent.chmod(0o755)  # whatever the umask
    for folder in sorted(folders):
        if folder.is_dir() and (folder.stat().st_uid, folder.stat().st_mode & 0o777) != (os.geteuid(), 0o755):
            changes.append((f"{folder} of another owner or mode", f"{folder} root 0755"))
            if not dry:
                os.chown(folder, os.geteuid(), os.getegid())
                folder.chmod(0o755)
    return changes


def keep_pristine(folder: Path, lessons: dict[str, bytes], dry: bool) -> list[Change]:
    """Make the folder of the untouched copies hold the lessons and nothing else. Returns what changes."""
    changes = []
    for name, content in lessons.items():
        changes += write_as_root(folder / name, content, dry)
    for rest in sorted(folder.rglob("*")):
        if rest.relative_to(folder).as_posix() not in (*lessons, HANDED_OUT) and not rest.is_dir():
            changes.append((f"{rest} there", f"{rest} absent"))
            if not dry:
                rest.unlink()
    return changes


def write_as_root(path: Path, content: bytes, dry: bool) -> list[Change]:
    """Make a file have this content and be this account's, readable by all. Returns what changes."""
    found = fingerprint(path)
    mode = f"{stat.S_IMODE(path.lstat().st_mode):04o}" if found else "no file of root's"
    before, after = f"{path} {mode} {found or ''}", f"{path} 0644 {sha256(content)}"
    if before == after:
        return []
    if not dry:
        new = path.with_name(f"{path.name}.new")
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        new.replace(path)
    return [(before, after)]


def as_student(account: pwd.struct_passwd, work: Callable[[], list[Change]]) -> list[Change]:
    """Do the work in a process that has this account's powers and no others. OSError: the work raised it."""
    if os.geteuid() == account.pw_uid:
        return work()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any] = {}
        try:
            os.initgroups(account.pw_name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.umask(0o022)
            answer["changes"] = work()
        except Exception as error:
            reason = getattr(error, "strerror", None) or repr(error)
            answer["failed"] = (getattr(error, "errno", None), reason, str(getattr(error, "filename", "")))
        finally:
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)  # what the parent's process would do at its end is not for this one
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = json.load(pipe)
    os.waitpid(child, 0)
    if "changes" not in answer:
        raise OSError(*answer["failed"])
    return [(before, after) for before, after in answer["changes"]]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other run works here, nor what is left of a killed one: its process with the student's powers."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def run(lessons: dict[str, bytes], student: str, folder: Path, pristine: Path, dry: bool = False) -> list[Change]:
    """Do all that the module does. Returns what changed, or, when `dry`, what would.

    OSError: a folder cannot be written. KeyError: there is no such account.
    """
    changes = ensure_folders({pristine, *((pristine / name).parent for name in lessons)}, dry)
    with nullcontext() if dry else alone_in(pristine):
        changes += keep_pristine(pristine, lessons, dry)
        store = pristine / HANDED_OUT
        memory = Memory.read(store)
        for name, content in lessons.items():
            known = memory.known.setdefault(name, [])
            if sha256(content) not in known:
                known.append(sha256(content))
        # Before the student gets a version, it is known to be ours; after that, it counts as given. So a run that
        # is killed between the two forgets nothing.
        noted = write_as_root(store, memory.bytes(), dry)
        try:
            account = pwd.getpwnam(student)
        except KeyError:
            if not dry:
                raise
            changes += hand_out(folder, lessons, memory, dry)  # what would be, had another task made the account
        else:
            home = Path(account.pw_dir)
            changes += as_student(account, lambda: close(home, dry) + hand_out(folder, lessons, memory, dry))
        memory.given |= {name: sha256(content) for name, content in lessons.items()}
        noted += write_as_root(store, memory.bytes(), dry)
    return [*changes, (noted[0][0], noted[-1][1])] if noted else changes


def main() -> None:
    """Do as the task says."""
    module = AnsibleModule(
        argument_spec={
            # Not a secret: this keeps the lessons' text out of the Pi's log.
            "lessons": {"type": "dict", "required": True, "no_log": True},
            "student": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "pristine": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    lessons = {name: base64.b64decode(text) for name, text in asked["lessons"].items()}
    parts = [name.split("/") for name in lessons]
    if not lessons or any(len(names) > 2 or any(name[:1] in ("", ".") for name in names) for names in parts):
        module.fail_json(msg="There are no lessons: notebooks_source must name a folder with *.ipynb files in it.")
    folder, pristine = Path(asked["folder"]), Path(asked["pristine"])
    try:
        changes = run(lessons, asked["student"], folder, pristine, module.check_mode)
    except KeyError:
        module.fail_json(msg=f"There is no account {asked['student']}: make it first.")
    except OSError as error:
        module.fail_json(
            msg=f"The lessons could not be handed out: {error.filename or folder}: {error.strerror}."
            " Make room on the card, or move away what is in that place."
        )
    before, after = ("".join(f"{line}\n" for line in lines) for lines in zip(*changes or [("", "")], strict=True))
    module.exit_json(changed=bool(changes), diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
