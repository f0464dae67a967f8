"""Pages of documentation as sessions: their blocks are written, run and compared with what the page says.

CONTRIBUTING.md states what each kind of block means. A page is run in a folder of its own, from top to bottom.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
import yaml

from kexp import nested
from kexp.catalog import load_catalog
from kexp.cli import app
from kexp.errors import KexpError
from kexp.plan.plugins import plugins_of
from kexp.plan.resolve import resolve
from kexp.spec import toml

EXECUTED = ("sh", "python")
LANGUAGES = (*EXECUTED, "toml", "text", "json", "console", "yaml")
OUTPUT = "Output"
NOT_EXECUTED = (
    "needs a network",
    "needs a GPU",
    "needs an account",
    "needs a cluster",
    "needs your data",
    "takes a minute",
    "installs",
)
NOTE = re.compile(
    r"\s*<!--\s*(?:status: (?P<statuses>\d+(?:, \d+)*)|not executed: (?P<reason>.*?)|(?P<other>.*?))\s*-->\s*"
)
"""What is noted of a block in the line before it, in a comment that no reader sees."""
PART_OF = {"name": "part", "dataset": "dialect-sample", "backbone": "tiny"}
FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>.*)")
INFO = re.compile(r'(?P<language>\w+)(?:\s+title="(?P<title>[^"]*)")?(?:\s+(?:hl_lines|linenums)="[^"]*")*')


class PageError(AssertionError):
    """A statement of a page that is not so."""


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its fence, ``statuses`` are those of the commands that fail, in order.

    ``reason`` says why commands are not executed here.
    """

    line: int
    language: str
    title: str | None
    text: str
    statuses: tuple[int, ...] = ()
    reason: str | None = None

    @property
    def is_executed(self) -> bool:
        return self.language in EXECUTED and self.title is None and self.reason is None

    @property
    def is_file(self) -> bool:
        return self.language in ("toml", "python") and self.title is not None

    @property
    def is_output(self) -> bool:
        return self.language == "text" and self.title == OUTPUT


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def meta(self) -> dict[str, Any]:
        found = re.match(r"---\n(.*?)\n---\n", self.text, re.DOTALL)
        if not found and self.text.startswith("---"):
            raise self.error(1, "expected front matter: lines of YAML between two lines of ---")
        return (yaml.safe_load(found[1]) or {}) if found else {}

    @cached_property
    def needs(self) -> list[str]:
        """Packages without which the page cannot be run."""
        named = self.meta.get("needs", [])
        return [named] if isinstance(named, str) else named

    @cached_property
    def blocks(self) -> list[Block]:
        return list(self._read())

    @property
    def is_run(self) -> bool:
        """Tell whether anything on the page can be executed or checked."""
        return any(block.language in (*EXECUTED, "toml") for block in self.blocks)

    def headings(self) -> list[str]:
        outside = re.sub(r"^([ \t]*)(`{3,}|~{3,}).*?^\1\2", "", self.text, flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"^#+ +(.+)$", outside, re.MULTILINE)

    def error(self, line: int, message: str) -> PageError:
        return PageError(f"{self.path}:{line}: {message}")

    def _read(self) -> Iterator[Block]:
        lines = self.text.splitlines()
        number, before = 0, None
        while number < len(lines):
            opened = FENCE.fullmatch(lines[number])
            number += 1
            if not opened:
                continue
            start, inside, note = number, [], lines[number - 2] if number > 1 else ""
            closed = re.compile(rf"\s*{opened['fence'][0]}{{{len(opened['fence'])},}}\s*")
            while number < len(lines) and not closed.fullmatch(lines[number]):
                # Inside a list, an admonition or a tab, a block is as far in as its fence.
                inside.append(lines[number].removeprefix(opened["indent"]))
                number += 1
            if number == len(lines):
                raise self.error(start, "the block has no end")
            number += 1
            before = self._block(start, opened["info"], "".join(line + "\n" for line in inside), note, before)
            yield before

    def _block(self, line: int, info: str, text: str, note: str, before: Block | None) -> Block:
        """Return a block; raises ``PageError`` when it is none of those that pages may have."""
        found = INFO.fullmatch(info.strip())
        if not found:
            raise self.error(line, f'expected a language and perhaps title="...", found "{info.strip()}"')
        noted = NOTE.fullmatch(note)
        statuses = tuple(map(int, re.findall(r"\d+", noted["statuses"] or ""))) if noted else ()
        block = Block(line, found["language"], found["title"], text, statuses, noted and noted["reason"])
        if block.language not in LANGUAGES:
            raise self.error(line, f"unknown language {block.language}; expected one of {', '.join(LANGUAGES)}")
        if block.is_output and not (before and before.is_executed):
            raise self.error(line, "an output without a sh or python block right before it that is executed")
        if block.is_output and not text.strip():
            raise self.error(line, "the output says nothing")
        if noted and (noted["other"] or block.language != "sh"):
            raise self.error(line, f"{note.strip()} stands before no sh block, or is no note: status, not executed")
        if block.reason not in (None, *NOT_EXECUTED):
            raise self.error(line, f'unknown reason "{block.reason}"; expected one of {", ".join(NOT_EXECUTED)}')
        if block.language == "sh" and (found := re.search(r"\|\| *(true|:|test \$\?.*)", text)):
            raise self.error(line, f"a reader sees `{found[0]}`; note the status in a comment before the block")
        if block.is_file and (Path(block.title or "").is_absolute() or ".." in Path(block.title or "").parts):
            raise self.error(line, f'"{block.title}" is not a file of the page\'s folder')
        if block.title is not None and not (block.is_output or block.is_file):
            raise self.error(line, f'a {block.language} block has no title; found "{block.title}"')
        return block


def expect(shown: str, output: str) -> None:
    """Hold what a page shows against what was printed; raises ``PageError`` with the first line that is missing.

    Spaces count as one; ``…`` is anything within a line; what is printed between the lines is not looked at.
    """
    printed = [" ".join(line.split()) for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output).splitlines()]
    after = "the beginning"
    for line in shown.splitlines():
        wanted = " ".join(line.split())
        if wanted in ("", "…"):
            continue
        pattern = re.compile(".*".join(map(re.escape, wanted.split("…"))))
        at = next((number for number, text in enumerate(printed) if pattern.fullmatch(text)), None)
        if at is None:
            raise PageError(f'no line "{wanted}" after {after} in the output:\n{output}')
        after, printed = f'"{wanted}"', printed[at + 1 :]


# --- specs ------------------------------------------------------------------------------------------------------------


def check_spec(path: Path) -> str | None:
    """Resolve a TOML file that is a whole spec; return the command that checks it where it has code beside it."""
    try:
        table = toml.read(path)
        if not {"dataset", "backbone"} <= table.keys():
            return None
        wanted = plugins_of(table)
        if wanted.local:
            return f"kexp check --allow-local-code {shlex.quote(str(path))}"
        resolve(path, load_catalog(block=wanted.block))
    except KexpError as error:
        raise PageError(str(error)) from None
    return None


def complete(text: str) -> str:
    """Lay a part of a spec over a small whole one, unless it is a whole one."""
    try:
        part = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PageError(f"not valid TOML: {error}") from None
    return toml.dumps(part if "extends" in part else nested.merge(PART_OF, part))


# --- commands that are not executed -----------------------------------------------------------------------------------


def check_commands(text: str, repository: Path) -> None:
    """Raise ``PageError`` for the ``kexp`` commands of a script that kexp does not have, and for unknown specs."""
    for words in commands(text):
        if words[0] != "kexp":
            continue
        try:
            _silent(typer.main.get_command(app)).main(words[1:], prog_name="kexp", standalone_mode=False)
        # The class of a mistake on the command line is Typer's own business.
        except Exception as error:  # noqa: BLE001
            raise PageError(f"`{shlex.join(words)}`: {error}") from None
        for word in words[1:]:
            if word.startswith("experiments/") and not (repository / word).exists():
                raise PageError(f"`{shlex.join(words)}`: {word} does not exist")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every simple command of a shell script, without assignments and redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        tokens = list(lexer)
        while tokens:
            token = tokens.pop(0)
            if set(token) <= set("<>&") and set(token) & set("<>"):
                del words[len(words) - (bool(words) and words[-1].isdigit()) :], tokens[:1]
            elif set(token) <= set("();|&"):
                yield from [words] if words else []
                words = []
            elif words or not re.fullmatch(r"!|\$|\w+=.*", token):
                words.append(token)
        yield from [words] if words else []


def _silent(command: Any) -> Any:
    """Make a command of Typer parse its words and do nothing."""
    command.callback = lambda **_: None
    if hasattr(command, "get_command"):
        find = command.get_command

        def found(context: Any, name: str) -> Any:
            below = find(context, name)
            return below and _silent(below)

        command.get_command = found
    return command
