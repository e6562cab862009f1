"""Ansible action: collect, hand out, restore or reset the students' work. The control node's side."""

from __future__ import annotations

import base64
import errno
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mynn.pi.plugins.module_utils.chunks import (
    FOLDER,
    File,
    batches,
    pack,
    quote,
    unpack,
    write_chunk,
)
from ansible_collections.mynn.pi.plugins.module_utils.collection import (
    changes_of,
    collections_of,
    copy,
    files_in,
    in_home,
    label,
    listed,
    name_of,
    read_sums,
    some,
    sum_of,
    write_sums,
)
from ansible_collections.mynn.pi.plugins.module_utils.files import locked
from ansible_collections.mynn.pi.plugins.module_utils.students_folder import diff_of
from ansible_collections.mynn.pi.plugins.module_utils.text import printable

DOCUMENTATION = r"""
name: student_work
author: The mynn-pi authors
short_description: Collect, hand out, restore or reset the students' work
description:
  - A collection is a folder C(DATE/PI/STUDENT) with read-only copies of the files in the student's folder on the Pi,
    C(DATE/PI/STUDENT.home) with what is beside that folder in the home, and C(DATE/PI/SHA256SUMS), which
    C(sha256sum --check) reads. It gets that name once it is complete, and is never changed afterwards. Files that have
    not changed since the Pi's last collection are hard links to it and are not sent again; so are large files that are
    equal. Holes in files take no room.
  - A Pi's answers are not trusted; an invalid answer ends that Pi's part with a message.
  - Files travel in chunks over Ansible's own connection, so a Pi needs no extra program and no room on its card.
options:
  verb:
    description: What to do; C(collect), C(hand_out), C(restore) or C(reset).
    required: true
  students:
    description: For each account, the student's folder.
    required: true
  pristine:
    description: The folder of the untouched lessons on the Pi.
    required: true
  collections:
    description: The folder of the collections.
  date:
    description: The date of the new collection; for C(restore), that of an old one, the start of it, or nothing.
  limit:
    description: The most that is collected of one student, in bytes; what exceeds it is named.
  source:
    description: For C(hand_out), the folder; for C(restore), the Pi of that name.
  give_up:
    description: For C(reset), whether work that was not collected is discarded.
"""

SHOWN = 64 << 20  # bytes; the progress of larger transfers is shown
TRIES = 3
STORE = ".files"  # in an unfinished collection: what came, each file once; its names are links to it
# The errors for names that this computer's disk cannot have, or cannot have besides others.
NO_NAME = {errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR}


class Collected(NamedTuple):
    """The outcome of a collection, by the files' names in it."""

    sums: dict[str, str]
    sent: dict[str, int]  # sizes of the files that the Pi sent now; equal ones are sent once
    left: dict[str, str]  # why other files are missing


Key = tuple[str, bool]  # a file's sum and whether it is executable: of equal files, one is stored


def key(file: File) -> Key:
    """Return what a file has in common with those that can be links to it."""
    return file.sum, file.executable


def known_files(folder: Path) -> dict[Key, Path]:
    """Return a collection's files."""
    paths = {folder / name: sum_ for name, sum_ in read_sums(folder).items()}
    return {(sum_, bool(path.stat().st_mode & 0o100)): path for path, sum_ in paths.items() if path.is_file()}


def unknown(files: dict[str, File], known: dict[Key, Path]) -> dict[str, File]:
    """Return by name the files that are not known, and of equal ones only the first."""
    first: dict[Key, str] = {}
    for name, file in files.items():
        first.setdefault(key(file), name)
    return {name: files[name] for shared, name in first.items() if shared not in known}


def link(source: Path, place: Path) -> bool:
    """Make a link to a file, or a copy where this disk has no links, or no more.

    False: the disk cannot hold such a name, or not besides another one, such as a and A.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(source)
        except OSError:  # neither this nor a copy replaces another file
            copy(source, place)
    except OSError as error:
        if error.errno in NO_NAME:
            return False
        raise
    return True


class ActionModule(ActionBase):  # type: ignore[misc]
    """What Ansible calls."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Run the task. Returns `changed`, `diff`, and as `msg` a sentence for the teacher."""
        super().run(tmp, task_vars)
        self.task_vars = task_vars
        self.pi = str(task_vars["inventory_hostname"])
        self.asked = self._task.args
        self.dry = bool(self._task.check_mode)
        self.root = Path(str(self.asked.get("collections", ""))).expanduser()
        verbs = {"collect": self.collect, "hand_out": self.hand_out, "restore": self.restore, "reset": self.reset}
        try:
            return verbs[self.asked["verb"]]()
        except OSError as error:
            raise AnsibleActionFail(
                f"{error.filename or self.root}: {error.strerror}, on this computer. Nothing half-done is left:"
                " repair this and run it again."
            ) from error
        except (ValueError, RecursionError) as error:
            raise AnsibleActionFail(
                f"{self.pi} sent an invalid answer ({printable(error, 200)}), and nothing was changed on it:"
                " flash its card again."
            ) from error

    def ask(self, verb: str, student: str, **given: Any) -> Any:
        """Run the module of the same name on the Pi. Returns its answer, which may be anything.

        AnsibleActionFail: it failed. ValueError: the answer cannot be unpacked.
        """
        done = self._execute_module(
            module_name="student_work",
            module_args={
                "verb": verb,
                "student": student,
                "folder": self.asked["students"][student],
                "pristine": self.asked["pristine"],
                "given": pack(given),
            },
            task_vars=self.task_vars,
        )
        if "answer" not in done:
            raise AnsibleActionFail(f"{self.pi} says: {done.get('msg', 'nothing')}", result=done)
        return unpack(str(done["answer"]))

    def list_work(self, student: str) -> tuple[dict[str, File], dict[str, str]]:
        """Return a student's files, and why others cannot be had, by their names in a collection."""
        limit = int(self.asked["limit"])
        files, left = listed(self.ask("list", student, limit=limit), limit)
        named = {name_of(student, quoted): file for quoted, file in files.items()}
        return named, {label(student, quoted): why for quoted, why in left.items()}

    def progress(self, what: str, files: Iterable[File]) -> Callable[[int], None]:
        """Return a function that is called with each number of bytes transferred, and shows long transfers."""
        whole = sum(file.size for file in files)
        step = max(SHOWN // 2, whole // 20)
        transferred = 0

        def count(size: int) -> None:
            nonlocal transferred
            transferred += size
            if whole > SHOWN and transferred // step > (transferred - size) // step:
                Display().display(f"{self.pi}: {transferred >> 20} of {whole >> 20} MB {what}")

        return count

    # --- collect

    def collect(self) -> dict[str, Any]:
        """Make a collection of this Pi."""
        final = self.root / self.asked["date"] / self.pi
        if final.exists():
            raise AnsibleActionFail(f"{final} already exists, and a collection is never changed: run this again.")
        part = final.with_name(f".{self.pi}.part")  # hidden: not a collection yet
        last = next(iter(collections_of(self.root, self.pi)), None)
        known = known_files(last) if last else {}
        came = Collected({}, {}, {})
        if self.dry:
            for student in self.asked["students"]:
                files, left = self.list_work(student)
                came.sums.update({name: file.sum for name, file in files.items()})
                came.sent.update({name: file.size for name, file in unknown(files, known).items()})
                came.left.update(left)
                known |= {key(file): part for file in files.values()}
            return self._result(final, came)
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # other accounts of this computer must not read the students' work
        with locked(self.root / f".{self.pi}.lock"):
            for leftover in self.root.glob(f"*/{part.name}"):  # of a killed run
                shutil.rmtree(leftover)
            (part / STORE).mkdir(parents=True)
            try:
                for student in self.asked["students"]:
                    self._collect_from(student, part, known, came)
                shutil.rmtree(part / STORE)
                write_sums(part, came.sums)
                part.rename(final)
            except BaseException:
                shutil.rmtree(part)
                with suppress(OSError):
                    part.parent.rmdir()
                raise
        return self._result(final, came)

    def _collect_from(self, student: str, part: Path, known: dict[Key, Path], came: Collected) -> None:
        """Fetch a student's work into a folder, and record what came.

        known: files that this computer has, from the last collection; new ones are added. A file that changes meanwhile
        is tried three times.
        """
        (part / student).mkdir()
        for _ in range(TRIES):
            files, left = self.list_work(student)
            missing = {name: file for name, file in files.items() if came.sums.get(name) != file.sum}
            for file in missing.values():
                if key(file) in known and sum_of(known[key(file)]) != file.sum:
                    del known[key(file)]  # somebody changed it here
            new = unknown(missing, known)
            self._fetch(student, part / STORE, new.values(), known)
            came.sent.update({name: file.size for name, file in new.items() if key(file) in known})
            for name, file in missing.items():
                if came.sums.pop(name, None):
                    (part / name).unlink()
                if key(file) not in known:
                    left[name] = "it is being written"
                elif link(known[key(file)], part / name):
                    came.sums[name] = file.sum
                else:
                    left[name] = "this computer's disk cannot hold a file of that name there"
            if all(key(file) in known for file in missing.values()):
                break
        came.left.update(left)

    def _fetch(self, student: str, store: Path, files: Iterable[File], known: dict[Key, Path]) -> None:
        """Fetch a student's files into a folder, and add those that match their sums to the known files."""
        count = self.progress("collected", files)
        for batch in batches(files):
            chunks = self.ask("read", student, wanted=[(file.name, begin, length) for file, begin, length in batch])
            if not isinstance(chunks, list):
                raise ValueError("malformed chunks")
            for (file, begin, length), chunk in zip(batch, chunks, strict=True):
                place = store / "".join(map(str, key(file)))
                if begin == 0:
                    place.unlink(missing_ok=True)
                with place.open("r+b" if begin else "xb") as opened:
                    write_chunk(opened, begin, base64.b64decode(str(chunk or ""))[:length])
                count(length)
                if begin + length == file.size and sum_of(place) == file.sum:
                    os.utime(place, (file.time, file.time))
                    place.chmod(0o555 if file.executable else 0o444)
                    known[key(file)] = place

    def _result(self, final: Path, came: Collected) -> dict[str, Any]:
        """Return the task's result."""
        would = "would be " if self.dry else ""
        size = sum(came.sent.values())
        text = f"{len(came.sums)} files {would}in {final}, {len(came.sent)} of them {would}sent now"
        text += f" ({size / 1e6:.2f} MB)."
        if came.left:
            names = some([f"{name} ({why})" for name, why in sorted(came.left.items())])
            text += f" Not collected: {names}."
            text += " Repair that on the Pi, or raise student_work_total_mb, and collect again."
        changes = [("", printable(final / name, 5000)) for name in ("", *sorted(came.sent))]
        return {"changed": True, "failed": bool(came.left), "msg": text, "sent": size, "diff": diff_of(changes)}

    # --- hand out, restore

    def hand_out(self) -> dict[str, Any]:
        """Copy a folder of this computer to every student of this Pi."""
        source = Path(self.asked["source"]).expanduser()
        paths = {FOLDER + name: source / name for name in files_in(source)}
        if not paths:
            raise AnsibleActionFail(f"There is no file to hand out in {source.absolute()}: name another folder.")
        return self._sent(dict.fromkeys(self.asked["students"], paths), over_lessons=False)

    def restore(self) -> dict[str, Any]:
        """Copy a collection of a Pi onto this one."""
        source, date = self.asked["source"], str(self.asked["date"] or "")
        folder = next(iter(collections_of(self.root, source, date)), None)
        if folder is None:
            of = f" with a date that begins with {date}" if date else ""
            raise AnsibleActionFail(
                f"There is no collection of {source}{of} in {self.root}. If the Pi had another name then, give it with"
                " -e student_work_from=NAME."
            )
        damaged, strangers = [], set()
        paths: dict[str, dict[str, Path]] = {student: {} for student in self.asked["students"]}
        for name, sum_ in read_sums(folder).items():
            student, inner = in_home(name)
            if student not in paths:
                strangers.add(student)
            elif sum_of(folder / name) != sum_:
                damaged.append(name)
            else:
                paths[student][inner] = folder / name
        done = self._sent(paths, over_lessons=True)
        done["msg"] = f"{folder}: {done['msg']}"
        if damaged:
            done["msg"] += f" Not restored, because they changed since they were collected: {some(damaged)}."
        if strangers:
            done["msg"] += f" Not restored, because the setting students does not list them: {some(sorted(strangers))}."
        return {**done, "failed": bool(done["failed"] or damaged or strangers)}

    def _sent(self, paths: dict[str, dict[str, Path]], over_lessons: bool) -> dict[str, Any]:
        """Send files to students. paths: by student and by name in the home. Returns the task's result."""
        changes: list[tuple[str, str]] = []
        left: list[str] = []
        sent: list[File] = []
        for student, files in paths.items():
            wanted = {quote(name): (self._described(quote(name), path), path) for name, path in files.items()}
            sums = {quoted: (file.sum, file.size) for quoted, (file, _) in wanted.items()}
            plan = self.ask("plan", student, files=sums, over_lessons=over_lessons)
            if not isinstance(plan, dict) or not {"changes", "needed", "left"} <= set(plan):
                raise ValueError("a malformed plan")
            changes += changes_of(plan["changes"])
            needed = {quoted: both for quoted, both in wanted.items() if quoted in plan["needed"]}
            failed = wanted.keys() & plan["left"]
            left += [f"{label(student, quoted)} ({plan['left'][quoted]})" for quoted in sorted(failed)]
            sent += [file for file, _ in needed.values()]
            if not self.dry:
                self._send(student, needed, over_lessons)
        would = "would be " if self.dry else ""
        size = sum(file.size for file in sent)
        text = f"{len(sent)} of {sum(map(len, paths.values()))} files {would}sent ({size / 1e6:.2f} MB)."
        if left:
            text += f" Not sent: {some(left)}. See what is in their place on the Pi, and run this again."
        return {"changed": bool(changes), "failed": bool(left), "msg": text, "diff": diff_of(changes)}

    def _described(self, quoted: str, path: Path) -> File:
        """Return what the Pi must know of a file of this computer. PermissionError: it cannot be read."""
        sum_, about = sum_of(path), path.stat()
        if sum_ is None:
            raise PermissionError(errno.EACCES, "it cannot be read", str(path))
        return File(quoted, about.st_size, sum_, int(about.st_mtime), bool(about.st_mode & 0o100))

    def _send(self, student: str, needed: dict[str, tuple[File, Path]], over_lessons: bool) -> None:
        """Send files to a student."""
        files = [file for file, _ in needed.values()]
        count = self.progress("sent", files)
        for batch in batches(files):
            chunks = []
            for file, begin, length in batch:
                with needed[file.name][1].open("rb") as opened:
                    opened.seek(begin)
                    data = base64.b64encode(opened.read(length)).decode()
                end = begin + length >= file.size
                chunks.append({**file._asdict(), "begin": begin, "data": data, "end": end})
                count(length)
            self.ask("write", student, chunks=chunks, over_lessons=over_lessons)

    # --- reset

    def reset(self) -> dict[str, Any]:
        """Restore the homes' baseline, once all work is in a collection, or is to be discarded."""
        give_up = self.asked["give_up"]
        collections = [(folder, read_sums(folder)) for folder in collections_of(self.root, self.pi)]
        kept: dict[str, dict[str, str]] = {}
        lost: list[str] = []
        for student in self.asked["students"]:
            files, left = self.list_work(student)
            kept[student] = {
                file.name: file.sum
                for name, file in files.items()
                if any(sums.get(name) == file.sum == sum_of(folder / name) for folder, sums in collections)
            }
            lost += [label(student, file.name) for file in files.values() if file.name not in kept[student]]
            lost += left
        if lost and not give_up:
            self._refuse(lost)
        changes: list[tuple[str, str]] = []
        for student, sums in kept.items():
            done = self.ask("reset", student, files=None if give_up else sums, limit=int(self.asked["limit"]))
            if not isinstance(done, dict) or not {"changes", "lost"} <= set(done):
                raise ValueError("a malformed reset")
            if done["lost"]:
                self._refuse([label(student, str(quoted)) for quoted in done["lost"]])
            changes += changes_of(done["changes"])
        text = "would be at its baseline" if self.dry else "is at its baseline"
        if lost:
            text += f"; discarded: {some(sorted(lost))}"
        return {"changed": bool(changes), "msg": f"{text}.", "diff": diff_of(changes)}

    def _refuse(self, lost: list[str]) -> NoReturn:
        raise AnsibleActionFail(
            f"{self.pi} has work that is in no collection in {self.root} as it is now ({some(sorted(lost))}), and"
            " nothing was changed on it: run collect.yml first, or discard it with -e reset_uncollected=true."
        )
