"""The user's own program as a translator: JSON lines in, JSON lines out."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import Field

from kexp.contracts import Decoding, Translator, TranslatorContext, TranslatorOptions
from kexp.errors import KexpError, Problem, RunFailed
from kexp.options import LocalPath
from kexp.seeds import derive

ALLOW = "KEXP_ALLOW_COMMANDS"
SCRIPT = 2**20
"""Bytes up to which a file among the arguments is taken for a script: its contents are part of the identity."""


class Command(TranslatorOptions):
    """Translate with a program of yours: a JSON line {"text", "source", "target"} in, a JSON line {"text"} out.

    Started once, it answers line by line, in order. A spec alone never starts a program: the user has to set
    KEXP_ALLOW_COMMANDS=1 too.
    """

    command: tuple[str, ...] = Field(min_length=1, description="The program and its arguments; no shell is involved.")
    folder: LocalPath | None = Field(None, description="Folder in which it runs; the current one when not given.")
    timeout: float = Field(60, gt=0, description="Seconds to wait for an answer; the first may include its start.")
    version: str = Field("", description="Change it when the program's answers change: kept ones are then left alone.")

    def problems(self) -> Iterable[Problem]:
        """Yield that programs are not allowed, or that this one is not there."""
        if not commands_allowed():
            yield Problem("", "a spec may not start a program on its own", f"trust it by setting {ALLOW}=1")
        if self.folder is not None and not self.folder.is_dir():
            yield Problem("folder", f"{self.folder} is not a folder", "give the folder in which the program runs")
        elif self.program() is None:
            place = f"in {self.folder}" if self.folder else "here"
            yield Problem("command", f'there is no program "{self.command[0]}" {place}', "give its path")

    def program(self) -> str | None:
        """Return the program's path: found in PATH by its bare name, else relative to the folder."""
        name = self.command[0]
        return shutil.which(name if Path(name).name == name else str((self.folder or Path.cwd()) / name))

    def files(self) -> str:
        """Return a hash of each small file that the command names: an edited script is another translator."""
        return json.dumps(self.scripts(), sort_keys=True)

    def scripts(self) -> dict[str, str]:
        """Return a hash of each small file that the command names, by argument."""
        found = {}
        for argument in self.command:
            path = (self.folder or Path.cwd()) / argument
            with contextlib.suppress(OSError, ValueError):
                if path.is_file() and path.stat().st_size <= SCRIPT:
                    found[argument] = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        return found

    def build(self, context: TranslatorContext) -> Translator:
        """Return the translator; the program starts with the first text."""
        if not commands_allowed():
            raise KexpError(f'translator "command": a spec may not start a program on its own; set {ALLOW}=1')
        program = self.program()
        if program is None:
            raise KexpError(f'translator "command": there is no program "{self.command[0]}"; give its path')
        return CommandTranslator(self, context, program)


def commands_allowed() -> bool:
    """Return whether the user lets specs start programs."""
    return os.environ.get(ALLOW) == "1"


class CommandTranslator:
    """A running program; started again when it is used after ``close``."""

    def __init__(self, options: Command, context: TranslatorContext, program: str) -> None:
        self.options, self.context, self.program = options, context, program
        named = {"engine": "command", "command": options.command, "version": options.version}
        self.identity = json.dumps({**named, "scripts": options.scripts()}, sort_keys=True)
        self._process: subprocess.Popen[bytes] | None = None

    def translate(self, texts: Sequence[str], decoding: Decoding, copies: int, seed: int) -> list[list[str]]:
        """Send each text; sampling sends one request per copy, with temperature and seed.

        Raises ``RunFailed`` when the program ends, is silent for longer than the timeout, or answers something else.
        """
        drawn = copies if decoding.method == "sampling" else 1
        requests = [self._request(text, decoding, seed, copy) for text in texts for copy in range(drawn)]
        answers = self._exchange(requests)
        rows = [answers[start : start + drawn] for start in range(0, len(answers), drawn)]
        return [row * (copies // drawn) for row in rows]

    def _request(self, text: str, decoding: Decoding, seed: int, copy: int) -> dict[str, Any]:
        request: dict[str, Any] = {"text": text, "source": self.context.source, "target": self.context.target}
        if decoding.method == "sampling":
            request |= {"temperature": decoding.temperature, "seed": derive(seed, "copy", copy)}
        elif decoding.method == "beam":
            request |= {"beams": decoding.beams}
        return request

    def _exchange(self, requests: Sequence[dict[str, Any]]) -> list[str]:
        process = self._started()
        # Written from a thread of its own: a program that answers before it has read all requests would block both.
        writer = threading.Thread(target=_write, args=(process.stdin, requests), daemon=True)
        writer.start()
        try:
            answers = [self._answer(request["text"]) for request in requests]
            self._expect_silence()
        except BaseException:
            # Whatever it still says would be taken for the answer to a later text.
            self._kill()
            raise
        writer.join(timeout=5)
        return answers

    def _expect_silence(self) -> None:
        """Refuse a line too many as soon as it is seen: it would be taken for the answer to the next text."""
        if self._lines.empty():
            return
        if self._lines.get() is not None:
            raise self._failure("answered more lines than it was sent", "")
        self.close()  # it ended after its last answer, and will be started again

    def _answer(self, text: str) -> str:
        try:
            line = self._lines.get(timeout=self.options.timeout)
        except queue.Empty:
            raise self._failure(f"gave no answer within {self.options.timeout:g} s", text) from None
        if line is None:
            raise self._failure(f"ended with status {self._status()}", text)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._failure(
                f"answered {_short(line.decode('utf-8', 'replace'))}, which is not JSON", text
            ) from None
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise self._failure(f"answered {_short(json.dumps(answer, ensure_ascii=False))} without a text", text)
        return str(answer["text"])

    def _failure(self, finding: str, text: str) -> RunFailed:
        """Return the error, with the text at which it happened and the program's last words."""
        at = f" at the text {_short(text)}" if text else ""
        words = "\n".join(self._said)
        said = f"; it said:\n{words}" if words else ""
        remedy = 'it has to answer each line with one line {"text": "..."} and flush its output'
        return RunFailed(f'translator "command": {self.options.command[0]} {finding}{at}; {remedy}{said}')

    def _status(self) -> int | None:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(timeout=5)
            self._listener.join(timeout=5)  # its last words
            return status
        return None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        command = [self.program, *self.options.command[1:]]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(command, cwd=self.options.folder, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise RunFailed(f'translator "command": {command[0]} cannot be started: {error}; see command') from error
        self._process = process
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=20)
        threading.Thread(target=_read, args=(process.stdout, self._lines), daemon=True).start()
        self._listener = threading.Thread(target=_listen, args=(process.stderr, self._said), daemon=True)
        self._listener.start()
        # Also if the translator is never closed: the program ends with it, or with Python.
        weakref.finalize(self, _end, process)
        return process

    def close(self) -> None:
        """Let the program end, by the end of its input, or else by force."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _kill(self) -> None:
        """End the program at once: it may be deaf to its input, and a thread may still be writing to it."""
        if self._process is not None:
            self._process.kill()
        self.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # What was not read any more is lost with the program.
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write(pipe: IO[bytes], requests: Iterable[dict[str, Any]]) -> None:
    # A program that has ended shows by its missing answer.
    with contextlib.suppress(OSError, ValueError):
        for request in requests:
            pipe.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
            pipe.flush()


def _read(pipe: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _listen(pipe: IO[bytes], said: deque[str]) -> None:
    with pipe:
        for line in pipe:
            said.append(line.decode("utf-8", "replace").rstrip())


def _short(text: str, longest: int = 60) -> str:
    text = " ".join(text.split())
    return json.dumps(text if len(text) <= longest else f"{text[:longest]}…", ensure_ascii=False)
