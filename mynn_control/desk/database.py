"""The desk's database: one SQLite file that only its owner can read."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Migrations of the schema, one per version. Append one for each change: files of every version must still migrate.
VERSIONS = [
    "CREATE TABLE taken_off (place TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID, STRICT",
    """CREATE TABLE pis (
        name TEXT PRIMARY KEY,
        asked REAL NOT NULL,      -- when
        lost TEXT NOT NULL,       -- why it did not answer then
        heard REAL NOT NULL DEFAULT 0,    -- when it last answered
        state TEXT NOT NULL DEFAULT '{}',     -- what it then answered, as JSON
        verified TEXT NOT NULL DEFAULT 'null',    -- its last verification, as JSON
        verified_when REAL NOT NULL DEFAULT 0,
        lessons TEXT NOT NULL,    -- the folder on this computer
        room REAL NOT NULL        -- the MB that the next run needs on its card
    ) WITHOUT ROWID, STRICT""",
    "SELECT 1",  # formerly another table of runs
    """CREATE TABLE names (
        pi TEXT NOT NULL,
        student TEXT NOT NULL,    -- the account
        since REAL NOT NULL,
        name TEXT NOT NULL,       -- of the pupil who has this seat from then on; empty for nobody
        PRIMARY KEY (pi, student, since)
    ) WITHOUT ROWID, STRICT""",
    "DROP TABLE IF EXISTS runs",
    """CREATE TABLE runs (
        began REAL PRIMARY KEY,
        name TEXT NOT NULL,       -- of the playbook
        chosen TEXT NOT NULL,     -- what the teacher chose for it, as JSON
        ended REAL NOT NULL DEFAULT 0,
        how TEXT NOT NULL DEFAULT '',     -- it ended, in words
        messages TEXT NOT NULL DEFAULT '[]',  -- as JSON
        lost TEXT NOT NULL DEFAULT '[]'   -- the Pis that were not finished, why, and what to do, as JSON
    ) STRICT""",
    "SELECT 1",  # marks that the desk writes files of its own
    """CREATE TABLE lines (
        pi TEXT NOT NULL,
        student TEXT NOT NULL,    -- the account
        number INTEGER NOT NULL,  -- about when it was sent
        text TEXT NOT NULL,
        lesson TEXT NOT NULL,     -- that it is about, or empty
        task TEXT NOT NULL,
        read INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (pi, student, number)
    ) WITHOUT ROWID, STRICT""",
    "CREATE TABLE usual_lines (text TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID, STRICT",
    "CREATE TABLE groups (name TEXT PRIMARY KEY, pis TEXT NOT NULL) WITHOUT ROWID, STRICT",  # as JSON
]
OWN_FILES = 7
JSON = ("state", "verified")  # columns of pis that hold JSON
RUNS = 20  # most runs that are kept
DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # not a locked file or a full disk
Seat = tuple[str, str]  # a Pi, and a student's account on it
Groups = Mapping[str, Sequence[str]]  # name → Pis


class Database:
    """Access to the file. Several processes may open it; each call is one transaction.

    damaged: new name of a damaged file; empty if it was intact. old_version: schema version found; 0 in a new file.
    SystemExit: a later mynn-pi wrote the file, or it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.damaged, self.old_version = path, "", 0
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except (sqlite3.DatabaseError, ValueError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in DAMAGED:
                raise SystemExit(f"{path} cannot be used: {error}") from error
            self.damaged = str(path) + time.strftime(".%Y-%m-%d_%H-%M-%S")
            for end in ("-journal", ""):  # the journal first: SQLite would apply it to the new file
                with suppress(FileNotFoundError):
                    Path(f"{path}{end}").rename(self.damaged + end)
            self._open()

    def _open(self) -> None:
        """Create or migrate the file, and read all of it."""
        self.path.touch(mode=0o600)
        with self._transaction() as database:
            database.execute("BEGIN IMMEDIATE")
            [version] = database.execute("PRAGMA user_version").fetchone()
            self.old_version = version
            if version > len(VERSIONS):
                later = f"{self.path} was written by a later mynn-pi: update this one, or move the file away."
                raise SystemExit(later)
            for number, script in enumerate(VERSIONS[version:], version + 1):
                database.execute(script)
                database.execute(f"PRAGMA user_version = {number}")
            [found] = database.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        self.pis(), self.runs(), self.taken_off(), self.names()
        self.lines(), self.usual_lines(), self.groups()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.path, timeout=10)
        try:
            database.execute("PRAGMA secure_delete = ON")  # overwrite deleted data
            with database:
                yield database
        finally:
            database.close()

    @property
    def changed(self) -> int:
        """Time of the last change, in nanoseconds."""
        return self.path.stat().st_mtime_ns

    def save_report(self, name: str, **columns: Any) -> None:
        """Save columns of a Pi's row; the others stay."""
        values = {"name": name} | columns
        values |= {column: json.dumps(values[column]) for column in JSON if column in values}
        names, places = ", ".join(values), ", ".join(f":{column}" for column in values)
        new = ", ".join(f"{column} = excluded.{column}" for column in columns)
        with self._transaction() as database:
            database.execute(f"INSERT INTO pis ({names}) VALUES ({places}) ON CONFLICT DO UPDATE SET {new}", values)

    def pis(self) -> dict[str, dict[str, Any]]:
        """Return each Pi's columns, by name."""
        with self._transaction() as database:
            database.row_factory = sqlite3.Row
            pis = [dict(row) for row in database.execute("SELECT * FROM pis")]
        return {pi.pop("name"): pi | {column: json.loads(pi[column]) for column in JSON} for pi in pis}

    def begin_run(self, began: float, name: str, chosen: Mapping[str, str]) -> None:
        """Save that a run began, and delete the oldest runs."""
        with self._transaction() as database:
            row = (began, name, json.dumps(dict(chosen)))
            database.execute("INSERT INTO runs (began, name, chosen) VALUES (?, ?, ?)", row)
            last = "SELECT began FROM runs ORDER BY began DESC LIMIT ?"
            database.execute(f"DELETE FROM runs WHERE began NOT IN ({last})", (RUNS,))

    def end_run(self, began: float, how: str, messages: Sequence[str], lost: Sequence[Sequence[str]]) -> None:
        """Save how a run ended (in words), its messages, and the Pis that were not finished."""
        with self._transaction() as database:
            row = (time.time(), how, json.dumps(messages), json.dumps(lost), began)
            database.execute("UPDATE runs SET ended = ?, how = ?, messages = ?, lost = ? WHERE began = ?", row)

    def runs(self) -> list[dict[str, Any]]:
        """Return the saved runs, the latest first."""
        with self._transaction() as database:
            database.row_factory = sqlite3.Row
            sql = "SELECT began, name, chosen, how, messages, lost FROM runs ORDER BY began DESC"
            runs = [dict(row) for row in database.execute(sql)]
        return [run | {column: json.loads(run[column]) for column in ("chosen", "messages", "lost")} for run in runs]

    def taken_off(self) -> list[str]:
        """Return the students off the wall, as PI/STUDENT, in the order in which the teacher took them off."""
        with self._transaction() as database:
            return [place for (place,) in database.execute("SELECT place FROM taken_off ORDER BY since")]

    def take_off(self, place: str) -> None:
        """Save that a student is off the wall."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO taken_off VALUES (?, ?)", (place, time.time()))

    def put_back(self, place: str) -> None:
        """Save that a student is on the wall again."""
        with self._transaction() as database:
            database.execute("DELETE FROM taken_off WHERE place = ?", (place,))

    def groups(self) -> dict[str, list[str]]:
        """Return the groups of Pis, by name."""
        with self._transaction() as database:
            return {name: json.loads(pis) for name, pis in database.execute("SELECT * FROM groups ORDER BY name")}

    def save_group(self, name: str, pis: Sequence[str]) -> None:
        """Save a group of Pis, or delete it if it has none."""
        with self._transaction() as database:
            database.execute("DELETE FROM groups WHERE name = ?", (name,))
            if pis:
                database.execute("INSERT INTO groups VALUES (?, ?)", (name, json.dumps(pis)))

    def names(self, when: float = math.inf) -> dict[Seat, str]:
        """Return the pupils' names by seat, as of a time."""
        with self._transaction() as database:
            held = database.execute("SELECT pi, student, name FROM names WHERE since <= ? ORDER BY since", (when,))
            names = {(pi, student): name for pi, student, name in held}
        return {seat: name for seat, name in names.items() if name}

    def save_names(self, names: Mapping[Seat, str]) -> None:
        """Save the pupils' names by seat, valid from now on. An empty name: nobody."""
        known, now = self.names(), time.time()
        new = [(*seat, now, name) for seat, name in names.items() if name != known.get(seat, "")]
        with self._transaction() as database:
            # The clock may have been set back.
            later = "DELETE FROM names WHERE pi = ? AND student = ? AND since >= ?"
            database.executemany(later, [row[:3] for row in new])
            database.executemany("INSERT INTO names VALUES (?, ?, ?, ?)", new)

    def delete_names(self) -> None:
        """Delete all names, including earlier ones, and all lines."""
        with self._transaction() as database:
            for table in ("names", "lines", "usual_lines"):
                database.execute(f"DELETE FROM {table}")

    def lines(self) -> list[tuple[str, str, int, str, str, str, int]]:
        """Return Pi, account, number, text, lesson, task, and whether it was read, of each line; the oldest first."""
        with self._transaction() as database:
            lines = database.execute("SELECT pi, student, number, text, lesson, task, read FROM lines ORDER BY number")
            return lines.fetchall()

    def usual_lines(self) -> list[str]:
        """Return the texts that were sent most often."""
        with self._transaction() as database:
            often = "SELECT text FROM usual_lines ORDER BY times DESC, text LIMIT 8"
            return [text for (text,) in database.execute(often)]

    def add_line(self, seat: Seat, text: str, lesson: str, task: str) -> None:
        """Save a line to a pupil. Its number is the time, or the one after the last line's."""
        with self._transaction() as database:
            last = "SELECT coalesce(max(number), 0) + 1 FROM lines WHERE pi = ? AND student = ?"
            [after] = database.execute(last, seat).fetchone()
            row = (*seat, max(after, int(time.time())), text, lesson, task)
            database.execute("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, 0)", row)
            often = "INSERT INTO usual_lines VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1"
            database.execute(often, (text,))

    def read_lines(self, seat: Seat, number: int) -> None:
        """Save that a pupil has read the lines up to this number."""
        with self._transaction() as database:
            database.execute("UPDATE lines SET read = 1 WHERE pi = ? AND student = ? AND number <= ?", (*seat, number))

    def end_lines(self, pis: Iterable[str], student: str) -> None:
        """Delete the lines to a student of these Pis, or to all: somebody else has their seats now."""
        with self._transaction() as database:
            database.executemany("DELETE FROM lines WHERE pi = ? AND ? IN ('', student)", [(pi, student) for pi in pis])
