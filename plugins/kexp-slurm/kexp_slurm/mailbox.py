"""Messages between a command and its jobs: files of a folder that all machines see, since jobs cannot open connections.

Every message is a file of its own, which appears whole by a rename and is never changed, so nothing needs a lock.
Folders are listed and not single files asked for: a network file system remembers for a while that a file was not
there, but looks again when its folder is opened.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from kexp.atomic_files import replacing, write_text
from kexp.background import repeating
from kexp.contracts import Answer, Ended, Lost, Message, Reported, Told

GATHER = 0.1
"""Seconds between two files that a job writes."""

BEAT = 10.0
"""Seconds between two signs of life of the command."""

GRACE = 300.0
"""Seconds without a sign of life after which a job takes its command for gone, and stops."""

ATTEMPTS = 8
"""Times that a job tries to write a message, waiting twice as long each time: a file system may be away for minutes."""

STOP, BEGUN, ALIVE = "stop", "begun", "alive"

logger = logging.getLogger("kexp")


@dataclass(frozen=True)
class Mailbox:
    """The command's side: its messages come from all jobs together, and its answers go to one job each.

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
        """Show jobs that the command is alive, in a thread of its own, whatever this process is busy with."""
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
                messages: list[Message] = pickle.loads(path.read_bytes())  # noqa: S301
            except (OSError, EOFError, pickle.UnpicklingError):
                # The file system is away for a moment, or slower than its folder says.
                continue
            found += [(name.partition(".")[0], message) for message in messages]
            with suppress(OSError):
                path.unlink()
        return found

    def answer(self, key: str, count: int, answer: Answer) -> None:
        """Answer a job's report, of which this is the number."""
        write_text(self.folder / key / f"{count:06d}", answer)

    def stop(self, key: str) -> None:
        """Ask a job to stop."""
        write_text(self.folder / key / STOP, "")

    def write(self, key: str, name: str, messages: Sequence[Message]) -> None:
        """Write messages of a job; their order is that of the names. Raises ``OSError`` when that fails for minutes."""
        for attempt in range(ATTEMPTS):
            try:
                with replacing(self._messages / f"{key}.{name}") as part:
                    part.write_bytes(pickle.dumps(messages))
            except OSError:
                if attempt == ATTEMPTS - 1 or not self.folder.is_dir():
                    raise
                time.sleep(2.0**attempt)
            else:
                return

    @property
    def _messages(self) -> Path:
        return self.folder / "messages"

    def _show(self) -> None:
        try:
            write_text(self.folder / ALIVE, uuid.uuid4().hex)
        except OSError as error:
            logger.warning("jobs cannot be told that this command still runs: %s", error)


class Outbox:
    """What a job sends, written in order by a thread of its own, so that no task waits for a file system.

    Messages that come close together share a file.
    """

    def __init__(self, mailbox: Mailbox, key: str) -> None:
        self.mailbox, self.key = mailbox, key
        self.messages = SimpleQueue[Message | None]()
        self.failed: OSError | None = None
        self.thread = threading.Thread(target=self._write, name="kexp messages", daemon=True)
        self.thread.start()

    def put(self, message: Message) -> None:
        """Send a message, soon."""
        self.messages.put(message)

    def close(self) -> None:
        """Wait until everything is written; raises ``OSError`` when it cannot be."""
        self.messages.put(None)
        self.thread.join()
        if self.failed is not None:
            raise self.failed

    def _write(self) -> None:
        # A second start of a job, later by its clock, writes no file of the first one anew.
        started = time.time_ns()
        for count in itertools.count():
            batch = [self.messages.get()]
            while not self.messages.empty():
                batch.append(self.messages.get())
            messages = [message for message in batch if message is not None]
            try:
                if messages and self.failed is None:
                    self.mailbox.write(self.key, f"{started:020d}.{count:06d}", messages)
            except OSError as error:
                self.failed = error
            if None in batch:
                return
            time.sleep(GATHER)


@dataclass
class MailLink:
    """A job's side of the mailbox."""

    mailbox: Mailbox
    number: int
    key: str
    outbox: Outbox = field(init=False)
    reports: int = 0
    """Reports that were sent."""
    ending: str = ""
    """Why the machine is about to end this job; "" while nothing is known of it."""
    told: bool = False
    """Whether the work was told to stop for that reason."""
    stopped: bool = False
    """Whether the command asked for a stop, or is gone."""
    looked: float = field(default_factory=time.monotonic)
    alive: tuple[str, float] = field(default_factory=lambda: ("", time.monotonic()))
    """The last sign of life, and when it was first seen."""

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.mailbox, self.key)

    def begin(self) -> bool:
        """Return whether this is the first process of the job: a cluster may start a job again by itself."""
        try:
            (self._folder / BEGUN).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def report(self, step: int, value: float) -> Answer:
        """Send the value and wait for the answer."""
        self.reports += 1
        self.outbox.put(Reported(self.number, step, value))
        name, pause = f"{self.reports:06d}", 0.02
        while not self.should_stop(at_once=True):
            if name in _names(self._folder):
                with suppress(OSError):
                    answer: Any = (self._folder / name).read_text("utf-8")
                    return answer  # type: ignore[no-any-return]
            time.sleep(pause)
            pause = min(1.0, 1.5 * pause)
        return "stop"

    def tell(self, news: Mapping[str, Any]) -> None:
        """Send the news without waiting."""
        self.outbox.put(Told(self.number, news))

    def should_stop(self, *, at_once: bool = False) -> bool:
        """Return whether the command or the cluster wants the task to stop; looks once a second, or ``at_once``."""
        if self.ending:
            self.told = True
        elif not self.stopped and (at_once or time.monotonic() - self.looked > 1.0):
            self.looked = time.monotonic()
            self.stopped = STOP in _names(self._folder) or self._command_is_gone()
        return self.stopped or bool(self.ending)

    def end(self, message: Ended | Lost) -> None:
        """Send the end of the task, after everything else; raises ``OSError`` when nothing can be written."""
        self.outbox.put(message)
        self.outbox.close()

    @property
    def _folder(self) -> Path:
        return self.mailbox.folder / self.key

    def _command_is_gone(self) -> bool:
        known, since = self.alive
        if time.monotonic() - since < self.mailbox.beat:
            return False
        shown = known
        try:
            shown = (self.mailbox.folder / ALIVE).read_text("utf-8")
        except FileNotFoundError:
            # The file is replaced, never removed: the folder is gone.
            return True
        except OSError:
            pass
        if shown != known:
            self.alive = (shown, time.monotonic())
        return shown == known and time.monotonic() - since > self.mailbox.grace


def _names(folder: Path) -> set[str]:
    """Return the names in a folder, without those of files that are being written; none where it cannot be read."""
    try:
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError:
        return set()
