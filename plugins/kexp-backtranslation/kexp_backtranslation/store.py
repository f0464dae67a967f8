"""Translations as they are made, for good: what is in the store is never translated again, by no process.

Why SQLite: a batch is one transaction, so a job that is killed loses at most the batch it was at and leaves no half a
record; several processes on one machine share the file safely; and it comes with Python. Appended JSON lines would tear
when killed and mix when shared, one file per text would be a hundred thousand files. In WAL mode readers do not wait
for the writer, and a commit is an append without a wait for the disk: after a power cut the last seconds may be missing
(they are translated again), never damaged. The one limit: WAL needs a local disk, not a network share.

Who translates what: a process claims texts before it translates them. A claim counts as long as its owner lives, which
is seen from a lock on a file of the owner's, held from its start to its end: the kernel drops it with the process,
however that ends. So claims of killed jobs are taken over at once, without clocks, and those of slow ones never.
"""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from kexp.contracts import Decoding
from kexp.errors import KexpError

VERSION = 1
PATIENCE = 120.0
"""Seconds to wait for another process's transaction, which takes milliseconds."""
MANY = 500
"""Parameters of a query, well below SQLite's limit."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, translator TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    decoding TEXT NOT NULL, seed INTEGER NOT NULL, UNIQUE (translator, source, target, decoding, seed));
CREATE TABLE IF NOT EXISTS translations (
    job INTEGER NOT NULL, text BLOB NOT NULL, copy INTEGER NOT NULL, result TEXT NOT NULL, owner TEXT NOT NULL,
    times INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (job, text, copy)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    job INTEGER NOT NULL, text BLOB NOT NULL, copy INTEGER NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (job, text, copy)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Job:
    """What translations have in common besides the text: who makes them, from what into what, how, and which copy."""

    translator: str
    source: str
    target: str
    decoding: Decoding
    seed: int
    copy: int

    def key(self) -> tuple[str, str, str, str, int]:
        """Return the job's row. Only what a method uses distinguishes jobs, so that other options cost nothing."""
        decoding = self.decoding
        how = {"beam": f"beam {decoding.beams}", "sampling": f"sampling {decoding.temperature}"}
        sampled = decoding.method == "sampling"
        method = how.get(decoding.method, decoding.method)
        return self.translator, self.source, self.target, method, self.seed if sampled else 0


class Store:
    """The store in a file; a context manager, to be used by one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner = uuid.uuid4().hex
        self._owners = path.with_name(f"{path.name}-owners")

    def __enter__(self) -> Store:
        try:
            self._owners.mkdir(parents=True, exist_ok=True)
            # One at a time: two processes that change a fresh file's journal or schema at once would fail, and an
            # owner's lock must not be taken for a dead one's between its making and its locking.
            with FileLock(self.path.with_name(f"{self.path.name}.lock")):
                self._alive = FileLock(self._lock_of(self.owner))
                self._alive.acquire()
                self._database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
                self._open()
        except (OSError, sqlite3.Error) as error:
            raise KexpError(f"translation store {self.path} cannot be opened: {error}; name another folder") from error
        return self

    def _open(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise KexpError(f"translation store {self.path} is of another version ({version}); move it away")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(SCHEMA)
        self._database.execute(f"PRAGMA user_version = {VERSION}")
        for path in self._owners.glob("*.lock"):
            if path.stem != self.owner:
                self._lives(path.stem)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._transaction() as database:
                database.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        finally:
            self._database.close()
            self._alive.release()
            self._lock_of(self.owner).unlink(missing_ok=True)

    def kept(self, job: Job, texts: Sequence[str]) -> dict[str, str]:
        """Return the translations that are there, by text."""
        found: dict[str, str] = {}
        with self._explained():
            number = self._number(job)
            for start in range(0, len(texts), MANY):
                part = {text_hash(text): text for text in texts[start : start + MANY]}
                marks = ",".join("?" * len(part))
                query = f"SELECT text, result FROM translations WHERE job = ? AND copy = ? AND text IN ({marks})"
                for hashed, result in self._database.execute(query, (number, job.copy, *part)):
                    found[part[hashed]] = result
        return found

    def claim(self, job: Job, texts: Sequence[str]) -> list[str]:
        """Return those texts that are neither translated nor being translated; they are now this process's work."""
        with self._transaction() as database:
            number = self._number(job)
            done = self.kept(job, texts)
            free = []
            for text in texts:
                place = (number, text_hash(text), job.copy)
                claim = database.execute("SELECT owner FROM claims WHERE job = ? AND text = ? AND copy = ?", place)
                owner = claim.fetchone()
                if text in done or (owner and owner[0] != self.owner and self._lives(owner[0])):
                    continue
                database.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)", (*place, self.owner))
                free.append(text)
        return free

    def keep(self, job: Job, results: Mapping[str, str]) -> None:
        """Add translations by text, and give up the claims on them.

        ``times`` counts how often one was made. It stays 1; were it ever more, the first one would stand.
        """
        with self._transaction() as database:
            number = self._number(job)
            rows = [(number, text_hash(text), job.copy, result, self.owner) for text, result in results.items()]
            database.executemany(
                "INSERT INTO translations (job, text, copy, result, owner) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET times = times + 1",
                rows,
            )
            places = [row[:3] for row in rows]
            database.executemany("DELETE FROM claims WHERE job = ? AND text = ? AND copy = ?", places)

    def _number(self, job: Job) -> int:
        """Return the number of the job's row, making it first if need be; part of the caller's transaction, if any."""
        key = job.key()
        self._database.execute(
            "INSERT OR IGNORE INTO jobs (translator, source, target, decoding, seed) VALUES (?, ?, ?, ?, ?)", key
        )
        same = "translator = ? AND source = ? AND target = ? AND decoding = ? AND seed = ?"
        (number,) = self._database.execute(f"SELECT id FROM jobs WHERE {same}", key).fetchone()
        return int(number)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock, commit at the end, or undo everything."""
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = "see that the disk has room and the folder can be written to; what was kept stays kept"
            raise KexpError(f"translation store {self.path}: {error}; {remedy}") from error

    def _lock_of(self, owner: str) -> Path:
        return self._owners / f"{owner}.lock"

    def _lives(self, owner: str) -> bool:
        """Return whether the owner's process still holds its lock; what a dead one has claimed is freed."""
        path = self._lock_of(owner)
        if path.exists():
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                return True
            path.unlink(missing_ok=True)
        self._database.execute("DELETE FROM claims WHERE owner = ?", (owner,))
        return False


def text_hash(text: str) -> bytes:
    """Return the key of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
