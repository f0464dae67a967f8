"""The user's own program: it answers, or its failure is told."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kexp.contracts import Decoding, TranslatorContext
from kexp.errors import KexpError, RunFailed
from kexp_backtranslation.command import Command

GREEDY = Decoding("greedy")
ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"text": asked["target"] + " " + asked["text"]}, ensure_ascii=False), flush=True)
"""


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXP_ALLOW_COMMANDS", "1")
    monkeypatch.setenv("PYTHONUTF8", "1")


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Command]:
    def write(source: str, **options: Any) -> Command:
        (tmp_path / "program.py").write_text(source, "utf-8")
        return Command(command=(sys.executable, "program.py"), folder=tmp_path, **options)

    return write


def build(options: Command) -> Any:
    assert list(options.problems()) == []
    return options.build(TranslatorContext("ko", "en"))


def test_answers_line_by_line_and_is_started_once(program: Any, tmp_path: Path) -> None:
    translator = build(program(ECHO + "open('ended', 'a').write('.')\n"))
    texts = ["영화", "두 줄\n글", '"따옴표"', "긴 글 " * 3000]
    for _ in range(2):
        assert translator.translate(texts, GREEDY, 1, 0) == [[f"en {text}"] for text in texts]
    assert not (tmp_path / "ended").exists()
    translator.close()
    assert (tmp_path / "ended").read_text() == "."
    assert translator.translate(["다시"], GREEDY, 2, 0) == [["en 다시", "en 다시"]]
    translator.close()


def test_asks_for_many_long_texts_at_once_without_blocking(program: Any) -> None:
    # Both pipes fill up long before everything has been asked.
    translator = build(program(ECHO))
    texts = [f"{number} " + "글" * 2000 for number in range(300)]
    assert translator.translate(texts, GREEDY, 1, 0) == [[f"en {text}"] for text in texts]
    translator.close()


def test_ends_with_the_translator(program: Any, tmp_path: Path) -> None:
    translator = build(program(ECHO + "open('ended', 'a').write('.')\n"))
    translator.translate(["글"], GREEDY, 1, 0)
    del translator
    gc.collect()
    assert (tmp_path / "ended").exists()


def test_says_how_to_decode(program: Any) -> None:
    source = "import sys, json\nfor line in sys.stdin: print(json.dumps({'text': line.strip()}), flush=True)\n"
    translator = build(program(source))
    asked = {"text": "글", "source": "ko", "target": "en"}
    ((plain,),) = translator.translate(["글"], GREEDY, 1, 0)
    assert json.loads(plain) == asked
    ((beam,),) = translator.translate(["글"], Decoding("beam", beams=5), 1, 0)
    assert json.loads(beam) == asked | {"beams": 5}
    sampling = Decoding("sampling", temperature=0.7)
    ((first, second),) = translator.translate(["글"], sampling, 2, 3)
    assert json.loads(first).keys() == asked.keys() | {"temperature", "seed"}
    assert json.loads(first)["temperature"] == 0.7
    assert json.loads(first)["seed"] != json.loads(second)["seed"]
    assert translator.translate(["글"], sampling, 2, 3) == [[first, second]]
    translator.close()


def test_a_spec_alone_starts_nothing(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = program("open('started', 'w')\n")
    for value in ("0", "", None):
        monkeypatch.delenv("KEXP_ALLOW_COMMANDS")
        if value is not None:
            monkeypatch.setenv("KEXP_ALLOW_COMMANDS", value)
        (problem,) = options.problems()
        assert "may not start a program" in problem.message
        assert "KEXP_ALLOW_COMMANDS=1" in problem.hint
        with pytest.raises(KexpError, match="KEXP_ALLOW_COMMANDS=1"):
            options.build(TranslatorContext("ko", "en"))
        monkeypatch.setenv("KEXP_ALLOW_COMMANDS", "1")
    assert not (tmp_path / "started").exists()


def test_names_a_program_or_folder_that_is_not_there(tmp_path: Path) -> None:
    (problem,) = Command(command=("no-such-program",)).problems()
    assert problem.path == "command"
    assert 'no program "no-such-program"' in problem.message
    (problem,) = Command(command=("./missing.sh",), folder=tmp_path).problems()
    assert str(tmp_path) in problem.message
    (problem,) = Command(command=("python",), folder=tmp_path / "none").problems()
    assert problem.path == "folder"
    with pytest.raises(KexpError, match="there is no program"):
        Command(command=("no-such-program",)).build(TranslatorContext("ko", "en"))


def test_an_edited_script_is_another_translator(program: Any) -> None:
    first = build(program(ECHO)).identity
    assert build(program(ECHO)).identity == first
    assert build(program(ECHO + "# edited\n")).identity != first
    assert build(program(ECHO, version="2")).identity != first
    assert build(program(ECHO, timeout=5)).identity == first


READ = "import sys, json, time, os\nline = sys.stdin.readline()\n"


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        (READ + "sys.stderr.write('no memory left\\n')\nsys.exit(3)\n", r"ended with status 3 .*\n.*no memory left"),
        (READ + "os.kill(os.getpid(), 9)\n", r"ended with status -9 at the text \"첫 글\""),
        (READ + "print('not json', flush=True)\ntime.sleep(60)\n", r'answered "not json", which is not JSON'),
        (READ + "print(json.dumps({'translation': 'x'}), flush=True)\ntime.sleep(60)\n", "without a text"),
        (READ + "print('[1]', flush=True)\n", "without a text"),
        (READ + "print(json.dumps({'text': 3}), flush=True)\n", "without a text"),
        (READ + "print(json.dumps({'text': 'x'}))\n", r"ended with status 0 at the text \"둘째 글\""),
        ("raise SystemExit(1)\n", "ended with status 1"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError"),
    ],
)
def test_tells_what_went_wrong(source: str, finding: str, program: Any) -> None:
    translator = build(program(source))
    with pytest.raises(RunFailed) as failure:
        translator.translate(["첫 글", "둘째 글"], GREEDY, 1, 0)
    import re

    assert re.search(finding, str(failure.value), re.DOTALL), str(failure.value)
    assert 'answer each line with one line {"text": "..."}' in str(failure.value)


def test_does_not_wait_for_ever(program: Any) -> None:
    translator = build(program("import time\ntime.sleep(60)\n", timeout=0.3))
    start = time.monotonic()
    with pytest.raises(RunFailed, match=r'gave no answer within 0\.3 s at the text "글 글'):
        translator.translate(["글 " * 100_000] * 3, GREEDY, 1, 0)
    assert time.monotonic() - start < 10


def test_refuses_more_answers_than_questions(program: Any) -> None:
    twice = ECHO.replace("flush=True)", "flush=True); print('{}', flush=True)")
    translator = build(program(twice))

    def ask() -> None:
        for _ in range(3):
            translator.translate(["글"], GREEDY, 1, 0)
            time.sleep(0.1)

    with pytest.raises(RunFailed, match=r"answered more lines|without a text"):
        ask()


def test_a_program_may_end_after_its_last_answer(program: Any) -> None:
    once = ECHO.replace("for line in sys.stdin:", "for line in [sys.stdin.readline()]:")
    translator = build(program(once))
    for _ in range(3):
        assert translator.translate(["글"], GREEDY, 1, 0) == [["en 글"]]
        time.sleep(0.1)
        translator.close()


def test_starts_anew_after_a_failure(program: Any, tmp_path: Path) -> None:
    flaky = "import os\nif not os.path.exists('second'):\n    open('second', 'w')\n    raise SystemExit(1)\n"
    translator = build(program(flaky + ECHO))
    with pytest.raises(RunFailed):
        translator.translate(["글"], GREEDY, 1, 0)
    assert translator.translate(["글"], GREEDY, 1, 0) == [["en 글"]]
    translator.close()
