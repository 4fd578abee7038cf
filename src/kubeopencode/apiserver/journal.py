"""The memory of the server on disk: one SQLite file, every write in it before it is acknowledged.

A write-ahead log with `synchronous=NORMAL` survives the death of the process at any moment (a power cut may cost the
last writes, never the file). One process owns a data directory at a time; a lock file says so.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kubeopencode.apiserver import status

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (collection, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL);
INSERT OR IGNORE INTO sequence VALUES (1, 0);
"""


class DirectoryInUseError(Exception):
    """Another process serves this data directory."""


class DataError(Exception):
    """The data file cannot be opened or written."""


class Row(NamedTuple):
    """One stored object: where it lives, its resourceVersion and its JSON."""

    collection: str
    namespace: str
    name: str
    version: int
    body: bytes


class Journal:
    """An open data directory. Raises `DirectoryInUseError` when another process has it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise DirectoryInUseError(
                f"{directory}: another process serves this data directory; stop it or choose another directory"
            ) from error
        path = directory / "state.db"
        self._db = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            # A checkpoint waits for the disk and everybody for it: one every 32 MB of log, not one every 4.
            self._db.execute("PRAGMA wal_autocheckpoint=8000")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self.close()
            raise DataError(
                f"{path} cannot be used: {error}; make room, or move the file away to begin anew"
            ) from error

    def rows(self) -> Iterator[Row]:
        """Everything stored."""
        return (Row(*row) for row in self._db.execute("SELECT collection, namespace, name, version, body FROM objects"))

    def version(self) -> int:
        """The highest resourceVersion ever given out."""
        found = self._db.execute("SELECT max((SELECT max(version) FROM objects), version) FROM sequence").fetchone()[0]
        if found is None:
            found = self._db.execute("SELECT version FROM sequence").fetchone()[0]
        return int(found)

    def put(self, row: Row) -> None:
        """Write one object. Raises Failure 507 or 500; nothing is written then."""
        self._write("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", row)

    def remove(self, collection: str, namespace: str, name: str, version: int) -> None:
        """Forget one object and remember that `version` was used. Raises Failure 507 or 500."""
        try:
            with self._db:
                self._db.execute("BEGIN")
                self._db.execute(
                    "DELETE FROM objects WHERE collection = ? AND namespace = ? AND name = ?",
                    (collection, namespace, name),
                )
                self._db.execute("UPDATE sequence SET version = ?", (version,))
        except sqlite3.Error as error:
            raise _refusal(error) from error

    def _write(self, statement: str, values: Row) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise _refusal(error) from error

    def close(self) -> None:
        """Close the file and let others have the directory."""
        self._db.close()
        os.close(self._lock)


def _refusal(error: sqlite3.Error) -> status.Failure:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return status.Failure(507, "the disk that holds the data directory is full; nothing was written")
    return status.Failure(500, f"the data file cannot be written ({error}); nothing was changed")
