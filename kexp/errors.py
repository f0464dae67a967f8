"""Errors for users, and problems of a spec as data: a message names the place, the finding and the remedy."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType


class KexpError(Exception):
    """An error that a user can act on; printed as one message, without a traceback."""

    exit_status = 2

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message, without a traceback (IPython asks for it by this name)."""
        return [f"{type(self).__name__}: {self}"]


class DataError(KexpError):
    """A dataset cannot be read, or not be used as the spec requires."""


class PluginError(KexpError):
    """A plugin is broken, or two plugins provide a component of one name."""


class RunFailed(KexpError):
    """A run failed after its folder had been created; the folder keeps the reason."""

    exit_status = 1


class ProcessLost(RunFailed):
    """Another process that trains the same run has ended, or cannot be reached."""


class RunInterrupted(KexpError):
    """The user stopped the run; it can be resumed."""

    exit_status = 130


class RunPruned(KexpError):
    """A search ended the run early, because other trials are better."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a spec.

    ``path`` is the dotted path of the key ("" for the whole file), ``owner`` the package whose component refused it.
    """

    path: str
    message: str
    hint: str = ""
    owner: str = ""

    def under(self, prefix: str) -> Problem:
        """Return the same problem seen from the table that holds this one."""
        return replace(self, path=".".join(filter(None, (prefix, self.path))))

    def __str__(self) -> str:
        path = self.path if len(self.path) <= 200 else f"{self.path[:200]}..."
        place = f"{path}: " if path else ""
        hint = f"; {self.hint}" if self.hint else ""
        owner = f" ({self.owner})" if self.owner and not self.owner.startswith("kexp ") else ""
        return f"{place}{self.message}{hint}{owner}"


class SpecError(KexpError):
    """Every problem of one spec file, reported together."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


CHANGES = 'kexp\'s documentation lists what changed, under "Changes of the interface"'


_LACKING = re.compile(r"(?:.*\.)?(\w+)\.__init__\(\) missing \d+ required \S+ arguments?: (.*)")
"""What Python says where an object is made without arguments that its class needs."""


def describe_error(error: Exception) -> str:
    """Return a message for what the code of a plugin raised; a ``KexpError`` has its own.

    Where it uses a name that kexp does not have, of a module or of an object, the message says where to look for
    the present one.
    """
    if isinstance(error, KexpError):
        return str(error)
    if getattr(error, "code", "") == "model-field-missing-annotation":
        # pydantic's, for a class variable that kexp's base class does not have, or no longer has.
        found = str(error).partition(". ")[0]
        return f"{found}; annotate an option with its type, and what is none with ClassVar; {CHANGES}"
    owner = ""
    if isinstance(error, ImportError):
        owner = error.name or ""
    elif isinstance(error, AttributeError):
        owner = error.obj.__name__ if isinstance(error.obj, ModuleType) else type(error.obj).__module__
    if lacking := _LACKING.fullmatch(str(error)):
        names = lacking[2].replace("'", "")
        return f"{lacking[1]}() lacks its argument{'s' if ' and ' in names else ''} {names}"
    message = f"{type(error).__name__}: {error}"
    return f"{message}; {CHANGES}" if owner.split(".")[0] == "kexp" else message


def reason_of(error: OSError | ValueError) -> str:
    """Return in a few words why a file cannot be read or a text cannot be a path, without repeating the path."""
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def plugin_call(component: str) -> Iterator[None]:
    """Name the component whose code runs here when it raises; a ``KexpError`` passes unchanged."""
    try:
        yield
    except KexpError:
        raise
    # Whatever the code of a plugin raises: the name of the component says whose it is.
    except Exception as error:
        raise PluginError(f"{component}: {describe_error(error)}") from error


REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, your quota is used up",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENOENT: "it, or the folder that it lies in, was removed",
    errno.EMFILE: "raise the number of open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def describe_os_error(error: OSError) -> str:
    """Return what the operating system refused in words: the file, the reason, the remedy where there is one."""
    place = f"{error.filename}: " if error.filename else ""
    return place + reason_and_remedy(error)


def reason_and_remedy(error: OSError) -> str:
    """Return what the operating system refused without the file: the reason, and the remedy where there is one."""
    remedy = REMEDIES.get(error.errno or 0)
    return (reason_of(error) or type(error).__name__) + (f"; {remedy}" if remedy else "")


def describe_value(value: object) -> str:
    """Describe an unexpected return value: None, a class, or the type of any other."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return "known: " + ", ".join(names) if names else ""
