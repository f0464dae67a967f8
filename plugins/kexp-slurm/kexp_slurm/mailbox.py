"""Messages between a search and its jobs: files of a folder that all machines see, since jobs cannot open connections.

Every message is a file of its own, which appears whole by a rename and is never changed, so nothing needs a lock.
Folders are listed and not single files asked for: a network file system remembers for a while that a file was not
there, but looks again when its folder is opened.
"""

from __future__ import annotations

import logging
import pickle
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kexp.atomic_files import replacing, write_text
from kexp.background import repeating
from kexp.contracts import Answer, Message

BEAT = 10.0
"""Seconds between two signs of life of the search."""

GRACE = 300.0
"""Seconds without a sign of life after which a job takes its search for gone, and stops."""

ATTEMPTS = 8
"""Times that a job tries to write a message, waiting twice as long each time: a file system may be away for minutes."""

STOP, BEGUN, ALIVE = "stop", "begun", "alive"

logger = logging.getLogger("kexp")


@dataclass(frozen=True)
class Mailbox:
    """The search's side: its messages come from all jobs together, and its answers go to one job each.

    ``grace`` is how long jobs wait for a sign of life.
    """

    folder: Path
    beat: float = BEAT
    grace: float = GRACE

    def open(self) -> None:
        """Make the folders; nobody else may read what is sent."""
        self.folder.mkdir(parents=True, mode=0o700)
        self._messages.mkdir()
        write_text(self.folder / ALIVE, "0")

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Show jobs that the search is alive, in a thread of its own, whatever this process is busy with."""
        with repeating(self._show, self.beat, "kexp sign of life"):
            yield

    def begin(self, key: str) -> None:
        """Make the folder of a job's answers."""
        (self.folder / key).mkdir()

    def has_begun(self, key: str) -> bool:
        """Return whether a job has begun."""
        return BEGUN in _names(self.folder / key)

    def collect(self) -> list[tuple[str, Message]]:
        """Return the messages since the last call, each with the key of its job, those of a job in their order."""
        found = []
        for name in sorted(_names(self._messages)):
            path = self._messages / name
            try:
                # Nobody but the user can write there.
                message: Message = pickle.loads(path.read_bytes())  # noqa: S301
            except (OSError, EOFError, pickle.UnpicklingError):
                # The file system is away for a moment, or slower than its folder says.
                continue
            found.append((name.partition(".")[0], message))
            with suppress(OSError):
                path.unlink()
        return found

    def answer(self, key: str, count: int, answer: Answer) -> None:
        """Answer a job's report, of which this is the number."""
        write_text(self.folder / key / f"{count:06d}", answer)

    def stop(self, key: str) -> None:
        """Ask a job to stop."""
        write_text(self.folder / key / STOP, "")

    @property
    def _messages(self) -> Path:
        return self.folder / "messages"

    def _show(self) -> None:
        try:
            write_text(self.folder / ALIVE, uuid.uuid4().hex)
        except OSError as error:
            logger.warning("jobs cannot be told that the search is alive: %s", error)


@dataclass
class MailLink:
    """A job's side of the mailbox."""

    mailbox: Mailbox
    key: str
    count: int = 0
    """Messages that were sent."""
    ending: str = ""
    """Why the machine is about to end this job; "" while nothing is known of it."""
    told: bool = False
    """Whether the work was told to stop for that reason."""
    stopped: bool = False
    """Whether the search asked for a stop, or is gone."""
    looked: float = field(default_factory=time.monotonic)
    alive: tuple[str, float] = field(default_factory=lambda: ("", time.monotonic()))
    """The last sign of life, and when it was first seen."""

    def begin(self) -> bool:
        """Return whether this is the first process of the job: a cluster may start a job again by itself."""
        try:
            (self._folder / BEGUN).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def report(self, step: int, value: float) -> Answer:
        """Send the value and wait for the answer."""
        from kexp.contracts import Reported

        self.send(Reported(int(self.key.partition("-")[0]), step, value))
        name, pause = f"{self.count:06d}", 0.02
        while not self.should_stop(at_once=True):
            if name in _names(self._folder):
                with suppress(OSError):
                    answer: Any = (self._folder / name).read_text("utf-8")
                    return answer  # type: ignore[no-any-return]
            time.sleep(pause)
            pause = min(1.0, 1.5 * pause)
        return "stop"

    def should_stop(self, *, at_once: bool = False) -> bool:
        """Return whether the search or the cluster wants the task to stop; looks once a second, or ``at_once``."""
        if self.ending:
            self.told = True
        elif not self.stopped and (at_once or time.monotonic() - self.looked > 1.0):
            self.looked = time.monotonic()
            self.stopped = STOP in _names(self._folder) or self._search_is_gone()
        return self.stopped or bool(self.ending)

    def send(self, message: Message) -> None:
        """Send a message to the search; raises ``OSError`` when it cannot be written for minutes."""
        self.count += 1
        path = self.mailbox._messages / f"{self.key}.{self.count:06d}"
        for attempt in range(ATTEMPTS):
            try:
                with replacing(path) as part:
                    part.write_bytes(pickle.dumps(message))
            except OSError:
                if attempt == ATTEMPTS - 1 or not self.mailbox._messages.parent.is_dir():
                    raise
                time.sleep(2.0**attempt)
            else:
                return

    @property
    def _folder(self) -> Path:
        return self.mailbox.folder / self.key

    def _search_is_gone(self) -> bool:
        known, since = self.alive
        if time.monotonic() - since < self.mailbox.beat:
            return False
        shown = known
        with suppress(OSError):
            shown = (self.mailbox.folder / ALIVE).read_text("utf-8")
        if shown != known:
            self.alive = (shown, time.monotonic())
        return shown == known and time.monotonic() - since > self.mailbox.grace


def _names(folder: Path) -> set[str]:
    """Return the names in a folder, without those of files that are being written; none where it cannot be read."""
    try:
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError:
        return set()
