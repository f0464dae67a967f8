"""Runs the pages that ``pages`` reads: files are written, shells and Python are started, each page in its folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

from pages import Block, Page, PageError, check_commands, check_spec, complete, expect

REPOSITORY = Path(__file__).parent.parent
SECONDS = 240.0

# Says which command of a script failed, for `bash -e` does not, and goes on after those that the page says fail.
# All in the first line, so that numbers of lines are those of the block.
SHELL_PRELUDE = """PAGE_STATUSES=({}); \
page_failed() {{ \
if [ "${{PAGE_STATUSES[0]-}}" = "$1" ]; then PAGE_STATUSES=("${{PAGE_STATUSES[@]:1}}"); return 0; fi; \
echo "$2 $3" > "$PAGE_FAILED"; return 1; }}; \
page_ended() {{ if [ $1 = 0 ] && [ ${{#PAGE_STATUSES[@]}} -gt 0 ]; then \
echo "no command ended with status ${{PAGE_STATUSES[0]}}"; exit 1; fi; }}; \
trap 'if page_failed $? $LINENO "$BASH_COMMAND"; then set +e; trap "set -e; trap - DEBUG" DEBUG; fi' ERR; \
trap 'page_ended $?' EXIT; """.replace("\\\n", "")

# Executes blocks of Python one after the other in one namespace, as a module of the name of a program, so that
# classes find their annotations; what a block prints goes to its file, what became of it to standard output.
PYTHON = """
import json, os, sys, traceback, types

def main():
    answers = os.fdopen(os.dup(1), "w")
    page = sys.modules["__main__"] = types.ModuleType("__main__")
    for line in sys.stdin:
        block = json.loads(line)
        with open(block["output"], "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        try:
            exec(compile(block["source"], block["page"], "exec"), vars(page))
            failed = False
        except BaseException:
            traceback.print_exc()
            failed = True
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps(failed), file=answers, flush=True)

main()
"""


class Session:
    """A page being run in ``folder``, which is empty; ``other`` is for what the page must not see."""

    def __init__(self, page: Page, folder: Path, other: Path, seconds: float = SECONDS) -> None:
        self.page, self.folder, self.other, self.seconds = page, folder, other, seconds
        self.environment = page_environment(other)
        self.python: subprocess.Popen[str] | None = None
        self.output = ""

    def run(self) -> None:
        """Run the page from top to bottom; raises ``PageError`` at the first statement that is not so."""
        blocks = self.page.blocks
        shutil.copytree(REPOSITORY / "experiments", self.folder / "experiments", ignore=shutil.ignore_patterns("runs"))
        try:
            for block in blocks:
                try:
                    self._take(block)
                except PageError as error:
                    raise self.page.error(block.line, str(error)) from None
        finally:
            if self.python:
                with self.python:
                    _kill(self.python)

    def _take(self, block: Block) -> None:
        if block.is_output:
            expect(block.text, self.output)
        elif block.is_file:
            self._write(block)
        elif block.language == "toml":
            self._check(self.folder / "part-of-a-spec.toml", complete(block.text), keep=False)
        elif block.language == "python":
            self.output = self._python(block)
        elif block.is_executed:
            self.output = self._shell(block.text, block.statuses)
        elif block.language == "sh":
            check_commands(block.text, REPOSITORY)

    def _write(self, block: Block) -> None:
        path = self.folder / str(block.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        if block.language == "toml":
            self._check(path, block.text, keep=True)
            return
        path.write_text(block.text, "utf-8")
        try:
            compile(block.text, str(block.title), "exec")
        except SyntaxError as error:
            raise PageError(f"{block.title}: {error}") from None

    def _check(self, path: Path, text: str, *, keep: bool) -> None:
        path.write_text(text, "utf-8")
        if command := check_spec(path):
            self._shell(command)
        if not keep:
            path.unlink()

    def _shell(self, text: str, statuses: Sequence[int] = ()) -> str:
        """Run a script whose failing commands end with these statuses, in this order; return what it printed."""
        script, printed, failed = (self.other / name for name in ("script.sh", "output", "failed"))
        # The last line is reached after a last command that fails as it should.
        script.write_text(f"{SHELL_PRELUDE.format(' '.join(map(str, statuses)))}{text}\n:\n", "utf-8")
        failed.write_text("")
        with printed.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", str(script)], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                cwd=self.folder, env=self.environment | {"PAGE_FAILED": str(failed)}, start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _kill(process)
                process.wait()
        output = printed.read_text("utf-8", "replace")
        if status != 0:
            number, _, command = failed.read_text("utf-8").strip().partition(" ")
            place = f"`{command}` in line {number} of the block" if number else f"`{text.strip()}`"
            how = f"ended with status {status}" if status is not None else f"took more than {self.seconds:g} s"
            raise PageError(f"{place} {how}:\n{output}")
        return output

    def _python(self, block: Block) -> str:
        """Execute a block in the namespace of the page; return what it printed."""
        if self.python is None:
            self.python = subprocess.Popen(
                [sys.executable, "-c", PYTHON], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            )  # fmt: skip
        assert self.python.stdin
        assert self.python.stdout
        printed = self.other / "output"
        # Lines of the page before the block, so that a traceback names lines of the page.
        source = "\n" * block.line + block.text
        work: dict[str, Any] = {"source": source, "page": str(self.page.path), "output": str(printed)}
        timer = Timer(self.seconds, _kill, [self.python])
        timer.start()
        try:
            self.python.stdin.write(json.dumps(work) + "\n")
            self.python.stdin.flush()
            answer = self.python.stdout.readline()
        finally:
            timer.cancel()
        output = printed.read_text("utf-8", "replace")
        if answer.strip() != "false":
            how = "raises" if answer else f"ended Python, or took more than {self.seconds:g} s"
            raise PageError(f"the block {how}:\n{output}")
        return output


def page_environment(other: Path) -> dict[str, str]:
    """Return the environment of a page: this Python's programs, no network, nothing of the tests or of the user."""
    own = ("KEXP_", "PYTEST_", "WANDB_", "MLFLOW_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "KEXP_OFFLINE": "1",
        "KEXP_CACHE_DIR": str(other / "cache"),
        # As on a terminal: standard output and error in the order in which they are written.
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "PYTEST_DEBUG_TEMPROOT": str(other),
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }


def _kill(process: subprocess.Popen[Any]) -> None:
    """End a process and all that it started and left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
