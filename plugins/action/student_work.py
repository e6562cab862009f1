"""Ansible action: collect, hand out, restore or reset the students' work. The control node's side."""

from __future__ import annotations

import base64
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mynn.pi.plugins.module_utils.chunks import FOLDER, File, batches, pack, unpack, write_chunk
from ansible_collections.mynn.pi.plugins.module_utils.collection import (
    changes_of,
    collections_of,
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
from ansible_collections.mynn.pi.plugins.module_utils.text import diff_of, printable

DOCUMENTATION = r"""
name: student_work
author: The mynn-pi authors
short_description: Collect, hand out, restore or reset the students' work
description:
  - A collection is a folder C(DATE/PI/STUDENT) with read-only copies of the files in the student's folder on the Pi,
    C(DATE/PI/STUDENT.home) with what is beside that folder in the home, and C(DATE/PI/SHA256SUMS), which
    C(sha256sum --check) reads. It gets that name once it is complete, and is never changed afterwards. Files that have
    not changed since the Pi's last collection are hard links to it and are not sent again; so are files that are equal.
    Holes in files take no room.
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
    """Return a collection's files, without those that somebody changed."""
    paths = {folder / name: sum_ for name, sum_ in read_sums(folder).items()}
    return {(sum_, bool(path.stat().st_mode & 0o100)): path for path, sum_ in paths.items() if sum_of(path) == sum_}


def link(source: Path, place: Path) -> None:
    """Make a link to a file, or a copy where this disk has no links, or no more.

    OSError: the disk cannot hold such a name, or not besides another one, such as a and A.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        raise FileExistsError(errno.EEXIST, "another file has that name", str(place))
    try:
        place.hardlink_to(source)
    except OSError:
        try:
            shutil.copy2(source, place)
        except OSError:
            place.unlink(missing_ok=True)
            raise


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
        named = {name_of(student, name): file for name, file in files.items()}
        return named, {label(student, name): why for name, why in left.items()}

    def batches(self, files: list[File], done: str) -> Iterator[list[tuple[File, int, int]]]:
        """Yield the files' chunks, and show the progress of long transfers: how much is `done`."""
        whole = sum(file.size for file in files)
        transferred = shown = 0
        for batch in batches(files):
            yield batch
            transferred += sum(length for _, _, length in batch)
            if transferred - shown > max(SHOWN, whole // 20):
                Display().display(f"{self.pi}: {transferred >> 20} of {whole >> 20} MB {done}")
                shown = transferred

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
            self._collect_into(part, known, came)
            return self._result(final, came)
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # other accounts of this computer must not read the students' work
        with locked(self.root / f".{self.pi}.lock"):
            for leftover in self.root.glob(f"*/{part.name}"):  # of a killed run
                shutil.rmtree(leftover)
            (part / STORE).mkdir(parents=True)
            try:
                self._collect_into(part, known, came)
                shutil.rmtree(part / STORE)
                write_sums(part, came.sums)
                part.rename(final)
            except BaseException:
                shutil.rmtree(part)
                with suppress(OSError):
                    part.parent.rmdir()
                raise
        return self._result(final, came)

    def _collect_into(self, part: Path, known: dict[Key, Path], came: Collected) -> None:
        """Fetch all students' work into a folder, and record what came.

        known: files that this computer has, from the last collection; new ones are added. A file that changes meanwhile
        is tried three times.
        """
        for student in self.asked["students"]:
            if not self.dry:
                (part / student).mkdir()
            files: dict[str, File] = {}
            for _ in range(TRIES):
                there, left = self.list_work(student)
                files |= there
                new = {key(file): (name, file) for name, file in there.items() if key(file) not in known}
                self._fetch(student, part / STORE, [file for _, file in new.values()], known)
                came.sent.update({name: file.size for name, file in new.values() if key(file) in known})
                if new.keys() <= known.keys():
                    break
            came.left.update(left)
            came.left.update({name: "it is being written" for name, file in there.items() if key(file) not in known})
            self._name({name: file for name, file in files.items() if key(file) in known}, part, known, came)

    def _name(self, files: dict[str, File], part: Path, known: dict[Key, Path], came: Collected) -> None:
        """Give known files their names in the collection."""
        for name, file in files.items():
            try:
                if not self.dry:
                    link(known[key(file)], part / name)
                came.sums[name] = file.sum
            except OSError as error:
                came.left[name] = f"on this computer: {error.strerror}"

    def _fetch(self, student: str, store: Path, files: list[File], known: dict[Key, Path]) -> None:
        """Fetch a student's files into a folder, and add those that match their sums to the known files."""
        if self.dry:
            known.update({key(file): store for file in files})
            return
        for batch in self.batches(files, "collected"):
            chunks = self.ask("read", student, wanted=[(file.name, begin, length) for file, begin, length in batch])
            if not isinstance(chunks, list):
                raise ValueError("malformed chunks")
            for (file, begin, length), chunk in zip(batch, chunks, strict=True):
                place = store / "".join(map(str, key(file)))
                if begin == 0:
                    place.unlink(missing_ok=True)
                with place.open("r+b" if begin else "xb") as opened:
                    write_chunk(opened, begin, base64.b64decode(str(chunk or ""))[:length])
                if begin + length == file.size and sum_of(place) == file.sum:
                    os.utime(place, (file.time, file.time))
                    place.chmod(0o555 if file.executable else 0o444)
                    known[key(file)] = place

    def _result(self, final: Path, came: Collected) -> dict[str, Any]:
        """Return the task's result."""
        would = "would be " if self.dry else ""
        size = sum(came.sent.values())
        place = "" if os.environ.get("MYNN_SUMMARY") else f" {would}in {final}"  # the desk's pages name no path
        text = f"{len(came.sums)} files{place}, {len(came.sent)} of them {would}sent now"
        text += f" ({size / 1e6:.2f} MB)."
        if came.left:
            names = some([f"{name} ({why})" for name, why in sorted(came.left.items())])
            text += f" Not collected: {names}."
            text += " Repair that on the Pi, or raise student_work_total_mb, and collect again."
        diff = diff_of([str(final / name) for name in ("", *sorted(came.sent))])
        return {"changed": True, "failed": bool(came.left), "msg": text, "sent": size, "diff": diff}

    # --- hand out, restore

    def hand_out(self) -> dict[str, Any]:
        """Copy a folder of this computer to every student of this Pi."""
        source = Path(self.asked["source"]).expanduser()
        paths = {FOLDER + name: source / name for name in files_in(source)}
        if not paths:
            raise AnsibleActionFail(f"There is no file to hand out in {source.absolute().name}: name another folder.")
        return self._sent(dict.fromkeys(self.asked["students"], paths), over_lessons=False)

    def restore(self) -> dict[str, Any]:
        """Copy a collection of a Pi onto this one."""
        source, date = self.asked["source"], str(self.asked["date"] or "")
        folder = next(iter(collections_of(self.root, source, date)), None)
        if folder is None:
            of = f" with a date that begins with {date}" if date else ""
            raise AnsibleActionFail(
                f"There is no collection of {source}{of}. If the Pi had another name then, give it with FROM=NAME."
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
        done["msg"] = f"{folder.parent.name}: {done['msg']}"
        if damaged:
            done["msg"] += f" Not restored, because they changed since they were collected: {some(damaged)}."
        if strangers:
            done["msg"] += f" Not restored, because the setting students does not list them: {some(sorted(strangers))}."
        return {**done, "failed": bool(done["failed"] or damaged or strangers)}

    def _sent(self, paths: dict[str, dict[str, Path]], over_lessons: bool) -> dict[str, Any]:
        """Send files to students. paths: by student and by name in the home. Returns the task's result."""
        changes: list[str] = []
        left: list[str] = []
        sent: list[File] = []
        for student, files in paths.items():
            wanted = {name: self._described(name, path) for name, path in files.items()}
            plan = self.ask("plan", student, files=list(wanted.values()), over_lessons=over_lessons)
            if not isinstance(plan, dict) or not {"changes", "needed", "left"} <= set(plan):
                raise ValueError("a malformed plan")
            changes += changes_of(plan["changes"])
            needed = [file for name, file in wanted.items() if name in plan["needed"]]
            left += [f"{label(student, name)} ({plan['left'][name]})" for name in sorted(wanted.keys() & plan["left"])]
            sent += needed
            if not self.dry:
                self._send(student, needed, files, over_lessons)
        would = "would be " if self.dry else ""
        size = sum(file.size for file in sent)
        text = f"{len(sent)} of {sum(map(len, paths.values()))} files {would}sent ({size / 1e6:.2f} MB)."
        if left:
            text += f" Not sent: {some(left)}. See what is in their place on the Pi, and run this again."
        return {"changed": bool(changes), "failed": bool(left), "msg": text, "diff": diff_of(changes)}

    def _described(self, name: str, path: Path) -> File:
        """Return what the Pi must know of a file of this computer. PermissionError: it cannot be read."""
        sum_, about = sum_of(path), path.stat()
        if sum_ is None:
            raise PermissionError(errno.EACCES, "it cannot be read", str(path))
        return File(name, about.st_size, sum_, int(about.st_mtime), bool(about.st_mode & 0o100))

    def _send(self, student: str, files: list[File], paths: dict[str, Path], over_lessons: bool) -> None:
        """Send files to a student."""
        for batch in self.batches(files, "sent"):
            chunks = []
            for file, begin, length in batch:
                with paths[file.name].open("rb") as opened:
                    opened.seek(begin)
                    chunks.append((file, begin, base64.b64encode(opened.read(length)).decode()))
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
        changes: list[str] = []
        for student, sums in kept.items():
            done = self.ask("reset", student, files=None if give_up else sums, limit=int(self.asked["limit"]))
            if not isinstance(done, dict) or not {"changes", "lost"} <= set(done):
                raise ValueError("a malformed reset")
            if done["lost"]:
                self._refuse([label(student, str(name)) for name in done["lost"]])
            changes += changes_of(done["changes"])
        text = "would be at its baseline" if self.dry else "is at its baseline"
        if lost:
            text += f"; discarded: {some(sorted(lost))}"
        return {"changed": bool(changes), "msg": f"{text}.", "diff": diff_of(changes)}

    def _refuse(self, lost: list[str]) -> NoReturn:
        raise AnsibleActionFail(
            f"{self.pi} has work that is in no collection as it is now ({some(sorted(lost))}), and nothing was changed"
            " on it: run `make collect` first, or discard it with `make reset DISCARD=yes`."
        )
