"""Ansible action: collect, hand out, restore or reset the students' work. The control node's side."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mynn.pi.plugins.module_utils.collection import (
    collections_of,
    fields,
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
from ansible_collections.mynn.pi.plugins.module_utils.parcel import (
    MALFORMED,
    batches,
    copied,
    pack,
    place_of,
    size_of,
    unpack,
)
from ansible_collections.mynn.pi.plugins.module_utils.system import desks_summary
from ansible_collections.mynn.pi.plugins.module_utils.text import diff_of, printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER, File

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
  - Files travel in parcels, compressed tars, as Ansible's connection carries any file. Neither side's memory grows with
    them. Parcels are on the Pi's card, in a folder of root's, and here beside the collections, until they are unpacked.
options:
  verb: {description: "What to do: C(collect), C(hand_out), C(restore) or C(reset).", required: true}
  students: {description: "For each account, the student's folder.", required: true}
  pristine: {description: The folder of the untouched lessons on the Pi., required: true}
  collections: {description: The folder of the collections., required: true}
  date: {description: "The date of the new collection; for C(restore), an old one's, the start of it, or nothing."}
  limit: {description: "The most that is collected of one student, in bytes; what exceeds it is named."}
  source: {description: "For C(hand_out), the folder; for C(restore), the Pi of that name."}
  give_up: {description: "For C(reset), whether work that was not collected is discarded."}
"""

SHOWN = 64_000_000  # bytes; the progress of larger transfers is shown
TRIES = 3


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


def described(name: str, path: Path) -> File:
    """Return what the Pi must know of a file of this computer."""
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        sum_ = hashlib.file_digest(file, "sha256").hexdigest()
    return File(name, about.st_size, sum_, int(about.st_mtime), bool(about.st_mode & 0o100))


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
        self.root = Path(str(self.asked["collections"])).expanduser()
        self.part = self.root / f".{self.pi}.part"  # hidden: not a collection yet
        self.remote = str(place_of(Path(self.asked["pristine"])))
        verbs = {"collect": self.collect, "hand_out": self.hand_out, "restore": self.restore, "reset": self.reset}
        try:
            return verbs[self.asked["verb"]]()
        except (*MALFORMED, RecursionError) as error:
            raise AnsibleActionFail(
                f"{self.pi} sent an invalid answer ({printable(error, 200)}), and nothing was changed on it:"
                " flash its card again."
            ) from error
        except OSError as error:
            raise AnsibleActionFail(
                f"{error.filename or self.root}: {error.strerror}, on this computer. Nothing half-done is left:"
                " repair this and run it again."
            ) from error

    def ask(self, verb: str, student: str, **given: Any) -> Any:
        """Run the module of the same name on the Pi. Returns its answer, which may be anything.

        AnsibleActionFail: it failed. ValueError: the answer is no JSON.
        """
        folder = self.asked["students"][student]
        asked = {"verb": verb, "student": student, "folder": folder, "pristine": self.asked["pristine"], **given}
        args = {"asked": json.dumps(asked)}
        done = self._execute_module(module_name="student_work", module_args=args, task_vars=self.task_vars)
        if "answer" not in done:
            raise AnsibleActionFail(f"{self.pi} says: {done.get('msg', 'nothing')}", result=done)
        return json.loads(str(done["answer"]))

    def list_work(self, student: str) -> tuple[dict[str, File], dict[str, str]]:
        """Return a student's files, and why others cannot be had, by their names in a collection."""
        limit = int(self.asked["limit"])
        files, left = listed(self.ask("list", student, limit=limit), limit)
        named = {name_of(student, name): file for name, file in files.items()}
        return named, {label(student, name): why for name, why in left.items()}

    # --- parcels

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have a folder for what is not complete yet, without a killed run's. At the end, the Pi's is removed too."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # other accounts of this computer must not read the students' work
        with locked(self.root / f".{self.pi}.lock"):
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir()
            try:
                yield
            finally:
                shutil.rmtree(self.part, ignore_errors=True)
                for student in [*self.asked["students"]][:1]:
                    self.ask("clear", student)

    def parcels(self, files: list[File], done: str) -> Iterator[tuple[list[File], Path]]:
        """Yield the files in lists for one parcel each, and where it is on this computer.

        The progress of long transfers is shown: how much is `done`.
        """
        come, whole = 0, size_of(files)
        for batch in batches(files):
            parcel = self.part / os.urandom(8).hex()  # a name that no Pi can foresee: mitogen would give it any
            yield batch, parcel
            parcel.unlink()
            come += size_of(batch)
            if whole > SHOWN:
                Display().display(f"{self.pi}: {come // 10**6} of {whole // 10**6} MB {done}")

    def fetch(self, student: str, files: list[File], known: dict[Key, Path]) -> None:
        """Fetch a student's files, and add those that match their sums to the known files."""
        for batch, parcel in self.parcels(files, "collected"):
            self.ask("pack", student, wanted=[(file.name, file.size) for file in batch])
            most = size_of(batch) * 101 // 100 + len(batch) * 2000 + 20_000  # whatever the Pi sends
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
            try:
                self._connection.fetch_file(self.remote, str(parcel))
            except Exception as error:
                if shutil.disk_usage(self.part).free < most:  # OpenSSH's sftp does not say so
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.root)) from None
                raise (ValueError("too large") if getattr(error, "errno", 0) == errno.EFBIG else error) from None
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

            with parcel.open("rb") as source:
                for number, content in unpack(source, [file.size for file in batch]):
                    file = batch[number]
                    place = self.part / f"{file.sum}-{file.executable}"
                    with place.open("wb") as target:
                        sum_ = copied(content, target, file.size)
                    if sum_ == file.sum:
                        os.utime(place, (file.time, file.time))
                        place.chmod(0o555 if file.executable else 0o444)
                        known[key(file)] = place

    # --- collect

    def collect(self) -> dict[str, Any]:
        """Make a collection of this Pi."""
        final = self.root / self.asked["date"] / self.pi
        if final.exists():
            raise AnsibleActionFail(f"{final} already exists, and a collection is never changed: run this again.")
        last = next(iter(collections_of(self.root, self.pi)), None)
        known = known_files(last) if last else {}
        self.sums: dict[str, str] = {}  # by the files' names in the collection
        self.sent: dict[str, int] = {}  # sizes of the files that the Pi sent now; equal ones are sent once
        self.left: dict[str, str] = {}  # why other files are missing
        with nullcontext() if self.dry else self.alone():
            for student in self.asked["students"]:
                self.collect_of(student, known)
            if not self.dry:
                write_sums(self.part / "work", self.sums)
                final.parent.mkdir(exist_ok=True)
                (self.part / "work").rename(final)
        would = "would be " if self.dry else ""
        size = sum(self.sent.values())
        place = "" if desks_summary() else f" {would}in {final}"  # the desk's pages name no path
        text = f"{len(self.sums)} files{place}, {len(self.sent)} of them {would}sent now"
        text += f" ({size / 1e6:.2f} MB)."
        if self.left:
            names = some([f"{name} ({why})" for name, why in sorted(self.left.items())])
            text += f" Not collected: {names}."
            text += " Repair that on the Pi, or raise student_work_total_mb, and collect again."
        diff = diff_of([str(final / name) for name in ("", *sorted(self.sent))])
        return {"changed": True, "failed": bool(self.left), "msg": text, "sent": size, "diff": diff}

    def collect_of(self, student: str, known: dict[Key, Path]) -> None:
        """Fetch a student's work, and give it its names in the collection.

        known: files that this computer has, from the last collection; new ones are added. A file that changes meanwhile
        is tried three times.
        """
        files: dict[str, File] = {}
        for _ in range(TRIES):
            there, left = self.list_work(student)
            files |= there
            new = {key(file): (name, file) for name, file in there.items() if key(file) not in known}
            wanted = [file for _, file in new.values()]
            if self.dry:
                known.update(dict.fromkeys(new, self.part))
            else:
                self.fetch(student, wanted, known)
            self.sent.update({name: file.size for name, file in new.values() if key(file) in known})
            if new.keys() <= known.keys():
                break
        self.left.update(left)
        self.left.update({name: "it is being written" for name, file in there.items() if key(file) not in known})
        if not self.dry:
            (self.part / "work" / student).mkdir(parents=True)
        for name, file in files.items():
            try:
                if key(file) in known:
                    if not self.dry:
                        link(known[key(file)], self.part / "work" / name)
                    self.sums[name] = file.sum
            except OSError as error:
                self.left[name] = f"on this computer: {error.strerror}"

    # --- hand out, restore

    def hand_out(self) -> dict[str, Any]:
        """Copy a folder of this computer to every student of this Pi."""
        source = Path(self.asked["source"]).expanduser()
        paths = {FOLDER + name: source / name for name in files_in(source)}
        if not paths:
            raise AnsibleActionFail(f"There is no file to hand out in {source.absolute().name}: name another folder.")
        return self.send_all(dict.fromkeys(self.asked["students"], paths), over_lessons=False)

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
        done = self.send_all(paths, over_lessons=True)
        done["msg"] = f"{folder.parent.name}: {done['msg']}"
        if damaged:
            done["msg"] += f" Not restored, because they changed since they were collected: {some(damaged)}."
        if strangers:
            done["msg"] += f" Not restored, because the setting students does not list them: {some(sorted(strangers))}."
        return {**done, "failed": bool(done["failed"] or damaged or strangers)}

    def send_all(self, paths: dict[str, dict[str, Path]], over_lessons: bool) -> dict[str, Any]:
        """Send files to students. paths: by student and by name in the home. Returns the task's result."""
        changes: list[str] = []
        left: list[str] = []
        sent: list[File] = []
        with nullcontext() if self.dry else self.alone():
            for student, files in paths.items():
                wanted = {name: described(name, path) for name, path in files.items()}
                plan = self.ask("plan", student, files=list(wanted.values()), over_lessons=over_lessons)
                new, names, why = fields(plan, changes=list, needed=list, left=dict)
                changes += new
                needed = [file for name, file in wanted.items() if name in names]
                left += [f"{label(student, name)} ({why[name]})" for name in sorted(wanted.keys() & why)]
                sent += needed
                for batch, parcel in self.parcels(needed, "sent") if not self.dry else ():
                    with parcel.open("xb") as target:
                        pack(target, ((file.size, lambda path=files[file.name]: path.open("rb")) for file in batch))
                    self._connection.put_file(str(parcel), self.remote)
                    self.ask("write", student, files=batch, over_lessons=over_lessons)
        would = "would be " if self.dry else ""
        size = size_of(sent)
        text = f"{len(sent)} of {sum(map(len, paths.values()))} files {would}sent ({size / 1e6:.2f} MB)."
        if left:
            text += f" Not sent: {some(left)}. See what is in their place on the Pi, and run this again."
        return {"changed": bool(changes), "failed": bool(left), "msg": text, "diff": diff_of(changes)}

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
            gone, new = fields(done, lost=list, changes=list)
            if gone:
                self._refuse([label(student, str(name)) for name in gone])
            changes += new
        text = "would be at its baseline" if self.dry else "is at its baseline"
        if lost:
            text += f"; discarded: {some(sorted(lost))}"
        return {"changed": bool(changes), "msg": f"{text}.", "diff": diff_of(changes)}

    def _refuse(self, lost: list[str]) -> NoReturn:
        raise AnsibleActionFail(
            f"{self.pi} has work that is in no collection as it is now ({some(sorted(lost))}), and nothing was changed"
            " on it: run `make collect` first, or discard it with `make reset DISCARD=yes`."
        )
