"""How commands report errors: a message on standard error and an exit status, a traceback with ``--debug``."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType

import typer


@dataclass(slots=True)
class Settings:
    """Options that apply to every command of this process."""

    debug: bool = False


settings = Settings()


CLOSED_PIPE = 141
"""Exit status where the reader of the output has closed the pipe: that of a program which SIGPIPE ends."""


def discard_output() -> None:
    """Let what Python still buffers, and prints at its end, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())


@contextmanager
def report_errors() -> Iterator[None]:
    """Print errors as messages instead of tracebacks, and exit with their status. SIGTERM is as Ctrl-C."""
    from kexp.errors import KexpError, describe_os_error
    from kexp.redaction import hiding_in_logs, without_passwords

    _print_all_names()
    try:
        with _interrupted_by_sigterm(), hiding_in_logs():
            yield
            # A closed pipe is noticed when it is written to, and not after this block.
            sys.stdout.flush()
    except KexpError as error:
        if settings.debug:
            raise
        print(printable(without_passwords(str(error))), file=sys.stderr)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(CLOSED_PIPE) from None
    except OSError as error:
        if settings.debug:
            raise
        print(printable(without_passwords(f"kexp: {describe_os_error(error)}")), file=sys.stderr)
        raise typer.Exit(2) from None
    # A bug of kexp: a traceback is printed only with --debug.
    except (Exception, SystemExit) as error:
        # rich ends the process where it notices a closed pipe; the application sees to that.
        closed = isinstance(error.__context__, BrokenPipeError)
        if isinstance(error, typer.Exit) or closed or settings.debug:
            raise
        message = f"kexp: {type(error).__name__}: {error}; --debug shows where"
        print(printable(without_passwords(message)), file=sys.stderr)
        raise typer.Exit(1) from None


def _print_all_names() -> None:
    """Print the name of a file that is not UTF-8 with escapes; the standard output would end in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` on SIGTERM, which batch systems send; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def printable(message: str) -> str:
    """Write control characters as escapes: a message may quote a file, which must not steer the terminal."""
    return re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", lambda found: ascii(found[0])[1:-1], message
    )


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback that ``--debug`` shows, without secrets; ``sys.excepthook`` then."""
    import traceback

    from kexp.redaction import without_passwords

    print(without_passwords("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")
