"""How commands report errors: a message on standard error and an exit status, a traceback with ``--debug``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import typer


@dataclass(slots=True)
class Settings:
    """Options that apply to every command of this process."""

    debug: bool = False


settings = Settings()


@contextmanager
def report_errors() -> Iterator[None]:
    """Print errors as messages instead of tracebacks, and exit with their status."""
    from kexp.errors import KexpError
    from kexp.redaction import hiding_in_logs, without_passwords

    try:
        with hiding_in_logs():
            yield
        # A closed pipe is noticed when it is written to, and not after this block.
        sys.stdout.flush()
    except KexpError as error:
        if settings.debug:
            raise
        print(_printable(without_passwords(str(error))), file=sys.stderr)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader, `| head` for instance, has closed the pipe; what Python still buffers is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    # A full disk or a bug of kexp: a traceback is printed only with --debug.
    except Exception as error:
        if isinstance(error, typer.Exit) or settings.debug:
            raise
        message = f"kexp: {type(error).__name__}: {error}; --debug shows where"
        print(_printable(without_passwords(message)), file=sys.stderr)
        raise typer.Exit(1) from None


def _printable(message: str) -> str:
    """Write control characters as escapes: a message may quote a file, which must not steer the terminal."""
    return re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", lambda found: ascii(found[0])[1:-1], message
    )


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback that ``--debug`` shows, without secrets; ``sys.excepthook`` then."""
    import traceback

    from kexp.redaction import without_passwords

    print(without_passwords("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")
