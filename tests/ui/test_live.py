"""What is told while it happens, and that no stream outlives its browser or its server."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import httpx
import optuna
import pytest
from fastapi.testclient import TestClient
from ui_support import add_events, write_run

from kexp.errors import KexpError
from kexp.search.default_trial import AS_IT_STANDS
from kexp.search.journal import open_journal
from kexp.search.silence_optuna import quiet_optuna
from kexp.ui.app import _templates, make_app
from kexp.ui.curves import CurveReader, LogReader
from kexp.ui.library import Library
from kexp.ui.live import CurveChanges, RunChanges, StudyChanges, TableChanges
from kexp.ui.streams import Streams
from kexp.ui.studies import StudyReader

A, B, C = ("x/20260101T000000Z-aa", "x/20260102T000000Z-bb", "y/20260103T000000Z-cc")


def no_model(path: Path) -> Any:
    raise AssertionError


def client(runs: Path) -> TestClient:
    return TestClient(make_app(runs, no_model, ["testserver"]))


def events(text: str) -> list[tuple[str, Any]]:
    return [(kind, json.loads(data)) for kind, data in re.findall(r"event: (\w+)\ndata: (.*)\n", text)]


# --- the table --------------------------------------------------------------------------------------------------------


def watched(runs: Path) -> TableChanges:
    library = Library(runs)
    return TableChanges(library.groups.table, _templates(), library.groups.table())


def test_only_groups_that_changed_are_sent(empty: Path) -> None:
    for folder in (A, B, C):
        write_run(empty, f"{folder}/v/seed-1")
    going = write_run(empty, f"{A}/w/seed-1", value=None)
    changes = watched(empty)
    assert changes.changes() == []
    add_events(going, 40)
    ((kind, told),) = changes.changes()
    assert (kind, told["order"], told["sections"], list(told["groups"])) == ("table", ["y", "x"], {}, [f"{A}/w"])
    assert 'value="40"' in told["groups"][f"{A}/w"]
    assert changes.changes() == []


def test_new_and_removed_folders_change_their_section(empty: Path) -> None:
    write_run(empty, f"{A}/v/seed-1")
    changes = watched(empty)
    write_run(empty, f"{C}/v/seed-1")
    ((_, told),) = changes.changes()
    assert (told["order"], list(told["sections"]), told["groups"]) == (["y", "x"], ["y"], {})
    (empty / C).rename(empty / "y/20260104T000000Z-dd")
    ((_, told),) = changes.changes()
    renamed = "y/20260104T000000Z-dd/v"
    assert (told["sections"], list(told["groups"]), told["removed"]) == ({}, [renamed], [f"{C}/v"])
    assert told["placed"] == [{"group": renamed, "experiment": "y", "before": None}]
    assert "20260104T000000Z-dd" in told["groups"][renamed]
    (empty / "y").rename(empty / ".gone")
    ((_, told),) = changes.changes()
    assert (told["order"], told["sections"], told["groups"]) == (["x"], {}, {})


def test_new_groups_are_placed_among_those_that_are_there(empty: Path) -> None:
    for name in ("x/20260102T000000Z-bb/v", "x/20260105T000000Z-ee/v"):
        write_run(empty, f"{name}/seed-1")
    changes = watched(empty)
    for name in ("x/20260106T000000Z-ff/v", "x/20260107T000000Z-gg/v", "x/20260103T000000Z-cc/v"):
        write_run(empty, f"{name}/seed-1")
    ((_, told),) = changes.changes()
    assert told["sections"] == {}
    # The last ones first, so that what a group stands before is there.
    assert [(one["group"][2:10], one["before"] and one["before"][2:10]) for one in told["placed"]] == [
        ("20260103", "20260102"), ("20260106", "20260105"), ("20260107", "20260106"),
    ]  # fmt: skip
    assert {key[2:10] for key in told["groups"]} == {"20260103", "20260106", "20260107"}


def test_other_columns_change_the_whole_section(empty: Path) -> None:
    write_run(empty, f"{A}/v/seed-1", spec="split = {test = 0.1}\n")
    changes = watched(empty)
    write_run(empty, "x/20260109T000000Z-dd/v/seed-1", spec="split = {test = 0.2}\n")
    ((_, told),) = changes.changes()
    assert (list(told["sections"]), told["groups"], told["placed"]) == (["x"], {}, [])


def test_a_browser_that_comes_back_is_sent_what_it_has_missed(empty: Path) -> None:
    going = write_run(empty, f"{A}/v/seed-1", value=None)
    library = Library(empty)
    first = TableChanges(library.groups.table, _templates(), None, library.remember)
    ((_, told),) = first.changes()
    assert list(told["sections"]) == ["x"]
    add_events(going, 40)
    again = TableChanges(library.groups.table, _templates(), library.remembered(told["token"]), library.remember)
    ((_, missed),) = again.changes()
    assert (missed["sections"], list(missed["groups"])) == ({}, [f"{A}/v"])
    assert library.remembered(missed["token"]) == library.groups.table()


def test_a_page_is_told_what_changed_since_it_was_made(empty: Path) -> None:
    going = write_run(empty, f"{A}/v/seed-1", value=None)
    page = client(empty)
    (token,) = re.findall(r'data-token="([^"]+)"', page.get("/").text)
    library = Library(empty)
    library.tables[token] = library.groups.table()
    add_events(going, 90)
    ((_, told),) = TableChanges(library.groups.table, _templates(), library.remembered(token)).changes()
    assert list(told["groups"]) == [f"{A}/v"]
    ((_, told),) = TableChanges(library.groups.table, _templates(), library.remembered("unknown")).changes()
    assert list(told["sections"]) == ["x"]


NAMES = ("<script>alert(1)</script>", "한글 이름", "a&b \"c\" 'd'", "{{ 7 * 7 }}", "%2e%2e", "[x](y)")


def test_names_are_texts_wherever_they_stand(empty: Path) -> None:
    for number, name in enumerate(NAMES):
        # A slash ends the name of a folder.
        spelled = name.replace("/", "∕")
        path = write_run(
            empty, f"{spelled}/2026010{number + 1}T000000Z-aa/{spelled}/seed-1", spec=f"note = {json.dumps(name)}\n"
        )
        result = json.loads((path / "result.json").read_text("utf-8"))
        result |= {"labels": [name, "b"], "status": "done"}
        (path / "result.json").write_text(json.dumps(result), "utf-8")
        (path / "log.txt").write_text(f"{name}\n", "utf-8")
    page = client(empty)
    keys = [run["key"] for run in page.get("/data/runs").json()]
    assert len(keys) == len(NAMES)
    for url, asked in (
        ("/", {}),
        ("/", {"filter": NAMES[0]}),
        ("/", {"experiment": NAMES[2]}),
        ("/compare", {"run": keys}),
        *(("/run", {"run": key}) for key in keys),
    ):
        answer = page.get(url, params=asked, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        assert "<script>" not in answer.text
        assert "{{ 7 * 7 }}" in answer.text or "7%20%2A%207" not in answer.text
    for key in keys:
        told = dict(events(page.get("/events/run", params={"run": key}).text))
        assert told["log"]["text"].strip() in NAMES


STRANGE = ('{"a": 1}', "[]", "null", '"text"', "1", "{half", "", "\0\0", "[a]\nb = 1", "split = 3\nsearch = 4\n",
           "[split]\nfolds = 1\n", "[split]\nresplit = true\ntest = 'x'\n", "dataset = []\n")  # fmt: skip


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "log.txt", "predictions.parquet", "../../spec.toml"])
def test_whatever_a_file_holds_no_page_fails(empty: Path, name: str) -> None:
    keys = [f"{A}/v/seed-1", f"{A}/w/seed-1"]
    page = client(empty)
    for content in STRANGE:
        for key in keys:
            path = write_run(empty, key)
        (path / name).write_text(content, "utf-8")
        _answers_all(page, keys)


@pytest.mark.parametrize(
    "change",
    [
        {"confusion_matrix": {"test": [[1, 2, 3]]}},
        {"confusion_matrix": {"test": [[1, 2], [3, 4], [5, 6]]}},
        {"labels": []},
        {"seed_words": {"labels": {"a": "b"}}},
        {"optimizer": {"state_mib": "much"}},
        {"hidden_states": {"rows": []}},
        {"metrics": {"test": {"accuracy": None}, "": {}, "가": {"x": 1e308}}},
        {"rows": {"test": 0}},
        {"reason": "<script>alert(1)</script>", "status": "failed"},
        {"train_seconds": None},
    ],
    ids=str,
)
def test_whatever_a_result_says_no_page_fails(empty: Path, change: dict[str, Any]) -> None:
    keys = [f"{A}/v/seed-1", f"{A}/w/seed-1"]
    for key in keys:
        path = write_run(empty, key)
    result = json.loads((path / "result.json").read_text("utf-8")) | change
    (path / "result.json").write_text(json.dumps(result), "utf-8")
    _answers_all(client(empty), keys)


def _answers_all(page: TestClient, keys: list[str]) -> None:
    assert page.get("/data/runs").status_code == 200
    for url in ("/", "/studies", "/predict"):
        answer = page.get(url)
        assert answer.status_code == 200, url
        assert "<script>" not in answer.text
    for key in keys:
        answer = page.get("/run", params={"run": key})
        assert answer.status_code == 200, answer.text
        assert "<script>" not in answer.text
    assert page.get("/compare", params={"run": keys}).status_code == 200
    assert page.get("/compare", params={"run": [*keys, "gone/20260101T000000Z-aa/v/seed-1"]}).status_code == 200
    for key in keys:
        assert page.get("/compare", params={"run": key}).status_code in (200, 422)
        assert page.get("/data/curves", params={"run": key}).status_code in (200, 422)


def test_a_study_of_odd_values_is_shown(study: Path) -> None:
    page = client(study.parents[1])
    for content in STRANGE:
        (study / "study.toml").write_text(content, "utf-8")
        (study / "study.json").write_text(content, "utf-8")
        assert page.get("/studies").status_code == 200
        assert page.get("/study", params={"study": "탐색/탐색-1a2b"}).status_code == 200, content
        try:
            StudyChanges(StudyReader(study)).changes()
        except KexpError as error:
            assert str(study) in str(error)  # noqa: PT017


# --- curves and logs --------------------------------------------------------------------------------------------------


def test_each_event_is_sent_once(empty: Path) -> None:
    path = write_run(empty, f"{A}/v/seed-1", value=None, steps=2)
    reader = CurveReader(path / "metrics.jsonl")
    first = reader.new()
    assert first is not None
    assert (first["reset"], first["steps"]["epoch"], first["evaluations"]["accuracy"]) == (True, [1.0, 2.0], [0.1, 0.2])
    assert reader.new() is None
    add_events(path, 30)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "st')
    more = reader.new()
    assert more is not None
    assert (more["reset"], more["steps"]["epoch"]) == (False, [3.0])
    assert reader.new() is None
    with (path / "metrics.jsonl").open("a") as file:
        file.write('ep", "step": 40, "epoch": 4.0, "loss": null, "learning_rate": 0.1}\n')
    last = reader.new()
    assert last is not None
    assert last["steps"] == {"epoch": [4.0], "loss": [None], "learning_rate": [0.1]}


def test_a_run_that_is_resumed_is_read_anew(empty: Path) -> None:
    path = write_run(empty, f"{A}/v/seed-1", value=None, steps=4)
    reader = CurveReader(path / "metrics.jsonl")
    reader.new()
    write_run(empty, f"{A}/v/seed-1", value=None, steps=2)
    # Longer than before, with another beginning.
    add_events(path, 31, 41, 51, 61)
    found = reader.new()
    assert found is not None
    assert (found["reset"], found["steps"]["epoch"]) == (True, [1.0, 2.0, 3.1, 4.1, 5.1, 6.1])


def test_many_points_are_thinned_at_first(empty: Path) -> None:
    path = write_run(empty, f"{A}/v/seed-1", value=None, steps=1000)
    found = CurveReader(path / "metrics.jsonl").new()
    assert found is not None
    assert len(found["steps"]["loss"]) == 500
    assert len(found["evaluations"]["epoch"]) == 1000


def test_a_log_is_sent_from_its_end_and_as_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    reader = LogReader(log)
    assert reader.new() is None
    log.write_text("".join(f"줄 {n}\n" for n in range(100)), "utf-8")
    first = reader.new(most=50)
    assert first is not None
    assert first["reset"]
    assert first["text"].endswith("줄 98\n줄 99\n")
    with log.open("a", encoding="utf-8") as file:
        file.write("새 줄\n반")
    assert reader.new() == {"reset": False, "text": "새 줄\n"}
    log.write_text("처음\n", "utf-8")
    assert reader.new() == {"reset": True, "text": "처음\n"}


def test_the_stream_of_a_finished_run_ends(empty: Path) -> None:
    write_run(empty, f"{A}/v/seed-1")
    write_run(empty, f"{A}/w/seed-1", value=None, status="interrupted")
    told = events(client(empty).get("/events/run", params={"run": f"{A}/v/seed-1"}).text)
    assert [kind for kind, _ in told] == ["curves", "end"]
    assert client(empty).get("/events/run", params={"run": f"{A}/v/seed-9"}).status_code == 404
    assert client(empty).get("/events/run", params={"run": "../../etc"}).status_code == 404


def test_a_run_tells_its_progress_its_log_and_its_end(empty: Path) -> None:
    path = write_run(empty, f"{A}/v/seed-1", value=None)
    library = Library(empty)
    changes = RunChanges(library, _templates(), f"{A}/v/seed-1", library.run(f"{A}/v/seed-1"))
    assert [kind for kind, _ in changes.changes() or ()] == ["curves"]
    add_events(path, 40)
    (path / "log.txt").write_text("경고\n", "utf-8")
    told = dict(changes.changes() or ())
    assert told["curves"]["steps"]["epoch"] == [4.0]
    assert told["log"]["text"] == "경고\n"
    assert told["progress"] == {"status": "running", "step": 40, "total": 100}
    add_events(path, 50)
    write_run(empty, f"{A}/v/seed-1", steps=5)
    told = dict(changes.changes() or ())
    assert told["progress"]["status"] == "done"
    assert "Confusion matrix" in told["outcome"]["html"]
    assert changes.changes() is None


def test_a_damaged_run_hides_no_other_one(empty: Path) -> None:
    bad, good = write_run(empty, f"{A}/v/seed-1", value=None), write_run(empty, f"{A}/v/seed-2", value=None)
    changes = CurveChanges(Library(empty), [f"{A}/v/seed-1", f"{A}/v/seed-2"])
    changes.changes()
    add_events(good, 40)
    with (bad / "metrics.jsonl").open("a") as file:
        file.write("no event\n")
    told = changes.changes()
    assert told is not None
    assert [kind for kind, _ in told] == ["trouble", "curves"]
    assert "metrics.jsonl:1: cannot be read" in told[0][1]["detail"]
    # It is told once.
    assert changes.changes() == []
    (bad / "metrics.jsonl").unlink()
    told = changes.changes()
    assert told is not None
    assert [kind for kind, _ in told] == ["trouble"]
    write_run(empty, f"{A}/v/seed-2")
    changes.changes()
    assert changes.changes() is None


# --- studies ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(empty: Path) -> Path:
    folder = empty / "탐색" / "탐색-1a2b"
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text('[search]\n[training]\nmonitor = "macro_f1"\n', "utf-8")
    return folder


def test_trials_are_told_as_they_come(study: Path) -> None:
    with quiet_optuna():
        made = optuna.create_study(study_name="s", storage=open_journal(study / "journal.log"), direction="maximize")
        made.set_user_attr("worker here", 1)
        changes = StudyChanges(StudyReader(study))
        ((_, told),) = changes.changes() or ()
        assert (told["status"], told["goals"], told["trials"]) == ("running", ["validation.macro_f1"], [])
        space = {"training.learning_rate": optuna.distributions.FloatDistribution(0, 1)}
        first = made.ask(space)
        first.report(0.4, 1)
        ((_, told),) = changes.changes() or ()
        assert [(trial["outcome"], trial["steps"], trial["reported"]) for trial in told["trials"]] == [
            ("running", [1], [0.4])
        ]
        assert changes.changes() == []
        made.tell(first, 0.6)
        second = made.ask(space)
        ((_, told),) = changes.changes() or ()
        assert [(trial["trial"], trial["values"]) for trial in told["trials"]] == [(0, [0.6]), (1, [])]
        assert (told["best"], told["counts"]) == (0, {"complete": 1, "running": 1})
        made.tell(second, 0.7)
        made.set_user_attr("worker here", "left")
        (study / "study.json").write_text(json.dumps({"status": "done", "trials": {}, "goals": {}}))
        ((_, told),) = changes.changes() or ()
        assert (told["status"], told["best"], [trial["trial"] for trial in told["trials"]]) == ("done", 1, [1])
        assert changes.changes() is None


def test_the_best_trial_is_that_of_the_search_where_values_tie(study: Path) -> None:
    with quiet_optuna():
        made = optuna.create_study(study_name="s", storage=open_journal(study / "journal.log"), direction="maximize")
        reader = StudyReader(study)
        space = {"training.learning_rate": optuna.distributions.FloatDistribution(0, 1)}
        for value, loss, best in ((0.9, 0.4, 0), (0.8, 0.1, 0), (0.9, 0.3, 2), (0.9, 0.3, 2)):
            trial = made.ask(space)
            trial.set_user_attr("loss", loss)
            made.tell(trial, value)
            assert reader.state()["best"] == best
        # The spec as it stands is preferred to earlier ones, and told though it has no parameters.
        default = made.ask()
        default.set_user_attr("loss", 0.3)
        default.storage.set_trial_system_attr(default._trial_id, AS_IT_STANDS, True)
        made.tell(default, 0.9)
        state = reader.state()
        assert state["best"] == 4
        assert [trial["as_it_stands"] for trial in state["trials"]] == [False] * 4 + [True]


def test_a_journal_is_not_written_by_looking_at_it(study: Path) -> None:
    page = client(study.parents[1])
    key = "탐색/탐색-1a2b"
    assert page.get("/study", params={"study": key}).status_code == 200
    assert StudyReader(study).state()["trials"] == []
    assert not (study / "journal.log").exists()
    (study / "journal.log").write_text('{"half', "utf-8")
    assert StudyReader(study).state()["trials"] == []
    assert (study / "journal.log").read_text("utf-8") == '{"half'
    (study / "journal.log").write_text('{"op_code": 99}\n', "utf-8")
    with pytest.raises(Exception, match=r"journal.log, line 1: no record of Optuna's journal"):
        StudyReader(study).state()
    assert page.get("/studies").status_code == 200


def test_a_study_in_a_database_is_not_asked(study: Path) -> None:
    (study / "study.toml").write_text('[search]\nstorage = "postgresql://me:secret@db/studies"\n', "utf-8")
    text = client(study.parents[1]).get("/study", params={"study": "탐색/탐색-1a2b"}).text
    assert "which this page does not ask" in text
    assert "secret" not in text


# --- streams end ------------------------------------------------------------------------------------------------------


def test_a_stream_ends_when_the_browser_leaves(empty: Path) -> None:
    write_run(empty, f"{A}/v/seed-1", value=None)
    app = make_app(empty, no_model, ["testserver"])
    sent: list[Any] = []

    async def ask() -> None:
        left = anyio.Event()
        asked = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if asked:
                return asked.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if b"event: curves" in message.get("body", b""):
                left.set()

        query = httpx.QueryParams({"run": f"{A}/v/seed-1"})
        scope = {"type": "http", "method": "GET", "path": "/events/run", "query_string": str(query).encode(),
                 "headers": [(b"host", b"testserver")], "http_version": "1.1", "scheme": "http"}  # fmt: skip
        with anyio.fail_after(60):
            await app(scope, receive, send)

    anyio.run(ask)
    assert sent[0]["status"] == 200


def test_streams_end_when_they_are_stopped(empty: Path) -> None:
    write_run(empty, f"{A}/v/seed-1", value=None)
    streams = Streams()
    page = TestClient(make_app(empty, no_model, ["testserver"], streams))
    threading.Timer(0.5, streams.stop).start()
    told = events(page.get("/events/run", params={"run": f"{A}/v/seed-1"}).text)
    assert [kind for kind, _ in told] == ["curves"]


def test_ctrl_c_ends_the_server_while_a_browser_listens(empty: Path) -> None:
    write_run(empty, f"{A}/v/seed-1", value=None)
    command = [sys.executable, "-m", "kexp", "ui", "--runs-dir", str(empty), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    address = server.stderr.readline().split()[0]
    try:
        with httpx.stream("GET", f"{address}/events/runs", timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: table"
            server.send_signal(signal.SIGINT)
            # Not an error: the end of the answer.
            assert not [line for line in lines if line.startswith("event: trouble")]
        assert server.wait(60) == 0
        assert server.stderr.read() == ""
    finally:
        server.kill()
        server.communicate()


SLOW = """
import sys, time
from pathlib import Path
from kexp.ui.serve import serve
serve(Path(sys.argv[1]), "127.0.0.1", 0, False, lambda path: time.sleep(600))
"""


def test_ctrl_c_ends_the_server_while_a_model_is_loaded(empty: Path) -> None:
    key = f"{A}/v/seed-1"
    write_run(empty, key)
    server = subprocess.Popen([sys.executable, "-c", SLOW, str(empty)], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    address = server.stderr.readline().split()[0]
    try:
        assert httpx.post(f"{address}/data/models", json={"runs": [key]}, timeout=60).status_code == 202
        with httpx.stream("GET", f"{address}/events/models", params={"run": key}, timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: state"
            server.send_signal(signal.SIGINT)
            assert "event: end" not in [*lines]
        assert server.wait(60) == 0
        assert server.stderr.read() == ""
    finally:
        server.kill()
        server.communicate()


def test_the_event_loop_is_not_held_up(empty: Path) -> None:
    """While a model is loaded, pages are answered."""
    write_run(empty, f"{A}/v/seed-1")
    going, asked = threading.Event(), threading.Event()

    def load(path: Path) -> Any:
        asked.set()
        assert going.wait(60)
        raise RuntimeError("over")

    with TestClient(make_app(empty, load, ["testserver"])) as page:
        answers: list[Any] = []
        body = {"text": "가", "runs": [f"{A}/v/seed-1"]}
        waiting = threading.Thread(target=lambda: answers.append(page.post("/data/predict", json=body)))
        waiting.start()
        assert asked.wait(60)
        assert page.get("/").status_code == 200
        assert answers == []
        going.set()
        waiting.join(60)
    assert answers[0].status_code == 422
    assert "RuntimeError: over" in answers[0].json()["detail"]
