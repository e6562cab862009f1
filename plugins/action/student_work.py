"""Ansible action: collect, hand out, restore or reset the students' work. The control node's side."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mynn.pi.plugins.module_utils import collection
from ansible_collections.mynn.pi.plugins.module_utils.parcel import MALFORMED, batches, copied, pack, place_of, size_of
from ansible_collections.mynn.pi.plugins.module_utils.system import desks_summary
from ansible_collections.mynn.pi.plugins.module_utils.text import diff_of, printable
from ansible_collections.mynn.pi.plugins.module_utils.tree import FOLDER, File
from mynn.files import locked

DOCUMENTATION = r"""
name: student_work
author: The mynn-pi authors
short_description: Collect, hand out, restore or reset the students' work
description:
  - A collection is a folder C(DATE/PI/STUDENT) with read-only copies of the files in the student's folder on the Pi,
    C(DATE/PI/STUDENT.home) with the other files of the home, and C(DATE/PI/SHA256SUMS), which
    C(sha256sum --check) reads. It gets that name once it is complete, and is never changed afterwards. Files that are
    equal, or have not changed since the Pi's last collection, are hard links and are not sent again. Holes in files
    take no room.
  - A Pi's answers are not trusted; an invalid answer ends that Pi's part with a message.
  - Files travel in parcels (C(parcel.py)), as Ansible's connection carries any file. Neither side's memory grows with
    them. A parcel is on the Pi's card, in a folder of the account that logs in, and here beside the collections, until
    it is unpacked.
options:
  verb: {description: "What to do: C(collect), C(hand_out), C(restore) or C(reset).", required: true}
  students: {description: "For each account, the student's folder.", required: true}
  listed: {description: "For C(restore), all students of the Pi, if only one's work is restored."}
  pristine: {description: The folder of the untouched lessons on the Pi., required: true}
  collections: {description: The folder of the collections., required: true}
  date: {description: "The date of the new collection; for C(restore), an old one's, the start of it, or nothing."}
  limit: {description: "The most that is collected of one student, in bytes; what exceeds it is named."}
  source: {description: "For C(hand_out), the folder; for C(restore), the Pi of that name."}
  give_up: {description: "For C(reset), whether work that was not collected is discarded."}
"""

TRIES = 3


def key(file: File) -> str:
    """Return a key that equal files share: one of them is sent and stored, and the others are links to it."""
    return f"{file.sum}-{file.executable}"


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes, since a Pi may send any amount."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Ansible's entry point."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Run the task. Returns `changed`, `diff` and `msg`, sentences for the teacher."""
        super().run(tmp, task_vars)
        self.task_vars = task_vars
        self.pi = str(task_vars["inventory_hostname"])
        self.asked = self._task.args
        self.dry = bool(self._task.check_mode)
        self.root = Path(str(self.asked["collections"])).expanduser()
        self.part = self.root / f".{self.pi}.part"  # hidden: not a collection yet
        verbs = {"collect": self.collect, "hand_out": self.hand_out, "restore": self.restore, "reset": self.reset}
        if not self.asked["students"]:
            raise AnsibleActionFail(
                f"{self.pi} has no such student, and nothing was changed on it: choose another one."
            )
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
        """Run the module of the same name on the Pi. Returns its answer, unchecked.

        AnsibleActionFail: the module failed. ValueError: the answer is not JSON.
        """
        folder = self.asked["students"][student]
        asked = {"verb": verb, "student": student, "folder": folder, "pristine": self.asked["pristine"], **given}
        args = {"asked": json.dumps(asked)}
        done = self._execute_module(module_name="student_work", module_args=args, task_vars=self.task_vars)
        if "answer" not in done:
            raise AnsibleActionFail(f"{self.pi} says: {done.get('msg', 'nothing')}", result=done)
        return json.loads(str(done["answer"]))

    def list_work(self, student: str) -> tuple[dict[str, File], dict[str, str]]:
        """Return a student's files, and reasons for missing ones, by path in a collection."""
        limit = int(self.asked["limit"])
        return collection.listed(self.ask("list", student, limit=limit), student, limit)

    # --- parcels

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Create empty folders for parcels here and on the Pi, under a lock. At the end, both are removed."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)  # other accounts of this computer must not read the students' work
        place = place_of(Path(self.asked["pristine"]))
        self.remote, folder = str(place), shlex.quote(str(place.parent))
        with locked(self.root / f".{self.pi}.lock"):
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir()
            # The account that logs in owns it: without mitogen, that account transfers the parcels.
            new = f"rm -rf {folder} && install -d -m 700 -o ${{SUDO_UID:-$(id -u)}} {folder}"
            self._low_level_execute_command(new)
            try:
                yield
            finally:
                shutil.rmtree(self.part, ignore_errors=True)
                self._low_level_execute_command(f"rm -rf {folder}")

    def parcels(self, files: list[File]) -> Iterator[tuple[list[File], Path]]:
        """Yield the list of files for each parcel, and the parcel's path on this computer."""
        for batch in batches(files):
            parcel = self.part / os.urandom(8).hex()  # no Pi can guess this name: mitogen serves files by name
            yield batch, parcel
            parcel.unlink()

    def fetch(self, student: str, files: list[File]) -> dict[str, Path]:
        """Fetch a student's files. Returns key → path of those that match their sums; in check mode, of all."""
        if self.dry:
            return dict.fromkeys(map(key, files), self.part)
        come = {}
        for batch, parcel in self.parcels(files):
            most = size_of(batch) * 101 // 100 + 20_000
            if shutil.disk_usage(self.part).free < most:  # Ansible does not report a full disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.root))
            self.ask("pack", student, files=batch)
            with at_most(most):
                self._connection.fetch_file(self.remote, str(parcel))
            with gzip.open(parcel) as contents:
                for file in batch:
                    place = self.part / key(file)
                    with place.open("wb") as target:
                        sum_ = copied(contents, target, file.size)
                    if sum_ == file.sum:
                        os.utime(place, (file.time, file.time))
                        place.chmod(0o555 if file.executable else 0o444)
                        come[key(file)] = place
        return come

    def send(self, student: str, files: list[File], paths: dict[File, Path], over_lessons: bool) -> None:
        """Send files to a student."""
        for batch, parcel in self.parcels(files):
            with gzip.open(parcel, "xb", compresslevel=1) as target:
                pack(target, batch, lambda file: paths[file].open("rb"))
            self._connection.put_file(str(parcel), self.remote)
            self.ask("write", student, files=batch, over_lessons=over_lessons)

    # --- collect

    def collect(self) -> dict[str, Any]:
        """Make a collection of this Pi."""
        final = self.root / self.asked["date"] / self.pi
        if final.exists():
            raise AnsibleActionFail(f"{final} already exists, and a collection is never changed: run this again.")
        last, _ = collection.files_of(collection.newest(self.root, self.pi))
        known = {key(file): path for files in last.values() for file, path in files.items()}
        self.sums: dict[str, str] = {}  # path in the collection → SHA256 sum
        self.sent: dict[str, int] = {}  # sizes of files that the Pi sent now; equal ones are sent once
        self.left: dict[str, str] = {}  # path in the collection → why the file is missing
        with nullcontext() if self.dry else self.alone():
            for student in self.asked["students"]:
                self.collect_of(student, known)
            if not self.dry:
                collection.write_sums(self.part / "work", self.sums)
                final.parent.mkdir(exist_ok=True)
                (self.part / "work").rename(final)
        would = "would be " if self.dry else ""
        size = sum(self.sent.values())
        place = "" if desks_summary() else f" {would}in {final}"  # the desk's pages show no paths
        text = f"{len(self.sums)} files{place}, {len(self.sent)} of them {would}sent now ({size / 1e6:.2f} MB)."
        if self.left:
            names = collection.some([f"{name} ({why})" for name, why in sorted(self.left.items())])
            text += f" Not collected: {names}."
            text += " Repair that on the Pi, or raise student_work_total_mb, and collect again."
        diff = diff_of([str(final / name) for name in ("", *sorted(self.sent))])
        return {"changed": True, "failed": bool(self.left), "msg": text, "sent": size, "diff": diff}

    def collect_of(self, student: str, known: dict[str, Path]) -> None:
        """Fetch a student's work, and link it into the collection.

        known: key → path of files on this computer; new ones are added. A file that changes meanwhile is tried three
        times.
        """
        files: dict[str, File] = {}
        for _ in range(TRIES):
            there, left = self.list_work(student)
            files |= there
            new = {key(file): name for name, file in there.items() if key(file) not in known}
            come = self.fetch(student, [there[name] for name in new.values()])
            known |= come
            self.sent |= {name: there[name].size for of, name in new.items() if of in come}
            if len(come) == len(new):
                break
        self.left |= left | {name: "it is being written" for name, file in there.items() if key(file) not in known}
        work = self.part / "work"
        if not self.dry:
            (work / student).mkdir(parents=True)
        for name, file in files.items():
            try:
                if key(file) in known:
                    if not self.dry:
                        (work / name).parent.mkdir(parents=True, exist_ok=True)
                        (work / name).hardlink_to(known[key(file)])
                    self.sums[name] = file.sum
            except OSError as error:
                self.left[name] = f"on this computer: {error.strerror}"

    # --- hand out, restore

    def hand_out(self) -> dict[str, Any]:
        """Copy a folder of this computer to every student of this Pi."""
        source = Path(self.asked["source"]).expanduser()
        files = {
            collection.described(source / name, FOLDER + name): source / name for name in collection.files_in(source)
        }
        if not files:
            raise AnsibleActionFail(f"There is no file to hand out in {source.absolute().name}: name another folder.")
        return self.send_all(dict.fromkeys(self.asked["students"], files), over_lessons=False)

    def restore(self) -> dict[str, Any]:
        """Copy a collection of this Pi or of another one onto this Pi."""
        source, date = self.asked["source"], str(self.asked["date"] or "")
        folder = collection.newest(self.root, source, date)
        if folder == self.root:
            of = f" with a date that begins with {date}" if date else ""
            raise AnsibleActionFail(
                f"There is no collection of {source}{of}. If the Pi had another name then, give it with FROM=NAME."
            )
        files, damaged = collection.files_of(folder)
        strangers = sorted(files.keys() - self.asked["students"].keys() - set(self.asked.get("listed", ())))
        done = self.send_all({student: files.get(student, {}) for student in self.asked["students"]}, over_lessons=True)
        done["msg"] = f"{folder.parent.name}: {done['msg']}"
        if damaged:
            done["msg"] += f" Not restored, because they changed since they were collected: {collection.some(damaged)}."
        if strangers:
            done["msg"] += (
                f" Not restored, because the setting students does not list them: {collection.some(strangers)}."
            )
        return {**done, "failed": bool(done["failed"] or damaged or strangers)}

    def send_all(self, files: dict[str, dict[File, Path]], over_lessons: bool) -> dict[str, Any]:
        """Send files to students. files: student → file → path on this computer. Returns the task's result."""
        changes: list[str] = []
        left: list[str] = []
        sent: list[File] = []
        with nullcontext() if self.dry else self.alone():
            for student, paths in files.items():
                plan = self.ask("plan", student, files=[*paths], over_lessons=over_lessons)
                names, new, why = collection.fields(plan, list, list, dict)
                changes += new
                needed = [file for file in paths if file.name in names]
                left += sorted(
                    f"{collection.label(student, file.name)} ({why[file.name]})" for file in paths if file.name in why
                )
                sent += needed
                if not self.dry:
                    self.send(student, needed, paths, over_lessons)
        would = "would be " if self.dry else ""
        text = f"{len(sent)} of {sum(map(len, files.values()))} files {would}sent ({size_of(sent) / 1e6:.2f} MB)."
        if left:
            text += f" Not sent: {collection.some(left)}. See what is in their place on the Pi, and run this again."
        return {"changed": bool(changes), "failed": bool(left), "msg": text, "diff": diff_of(changes)}

    # --- reset

    def reset(self) -> dict[str, Any]:
        """Reset the homes to their baseline if the newest collection has all work, or the rest is to be discarded."""
        discard, limit = self.asked["give_up"], int(self.asked["limit"])
        kept, _ = collection.files_of(collection.newest(self.root, self.pi))
        lost: list[str] = []
        changes: list[str] = []
        for student in self.asked["students"]:
            sums = {file.name: file.sum for file in kept.get(student, ())}
            gone, new = collection.fields(
                self.ask("reset", student, kept=sums, discard=discard, limit=limit), list, list
            )
            lost += [collection.label(student, str(name)) for name in gone]
            changes += new
        names = collection.some(sorted(lost))
        if lost and not discard:
            raise AnsibleActionFail(
                f"{self.pi} has work that is not in its newest collection as it is now ({names}), and nothing was"
                " changed on it: run `make collect` first, or discard it with `make reset DISCARD=yes`."
            )
        text = "would be at its baseline" if self.dry else "is at its baseline"
        text += f"; discarded: {names}." if lost else "."
        return {"changed": bool(changes), "msg": text, "diff": diff_of(changes)}
