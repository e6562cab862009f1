"""What the desk remembers, in one SQLite file that only its owner can read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A version of the schema each. Whoever changes it adds one: a teacher's file is brought from any of them to the last.
VERSIONS = [
    "CREATE TABLE taken_off (place TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID, STRICT",
]


class Memory:
    """The file. Every process may open it; each call is a transaction of its own.

    SystemExit: it was written by a later mynn-pi, or cannot be used, with what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        try:
            with self._opened() as database:
                database.execute("BEGIN IMMEDIATE")
                [version] = database.execute("PRAGMA user_version").fetchone()
                if version > len(VERSIONS):
                    raise SystemExit(f"{path} was written by a later mynn-pi: update this one, or move the file away.")
                for number, script in enumerate(VERSIONS[version:], version + 1):
                    database.execute(script)
                    database.execute(f"PRAGMA user_version = {number}")
        except sqlite3.DatabaseError as error:
            raise SystemExit(
                f"{path} cannot be used ({error}): if it is damaged, move it away, and start again."
            ) from error

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.path, timeout=10)
        try:
            with database:
                yield database
        finally:
            database.close()

    def taken_off(self) -> list[str]:
        """Return whom the teacher took off the wall, as PI/STUDENT, in that order."""
        with self._opened() as database:
            return [place for (place,) in database.execute("SELECT place FROM taken_off ORDER BY since")]

    def take_off(self, place: str) -> None:
        """Remember that a student is off the wall."""
        with self._opened() as database:
            database.execute("INSERT OR REPLACE INTO taken_off VALUES (?, ?)", (place, time.time()))

    def put_back(self, place: str) -> None:
        """Forget that a student was taken off."""
        with self._opened() as database:
            database.execute("DELETE FROM taken_off WHERE place = ?", (place,))
