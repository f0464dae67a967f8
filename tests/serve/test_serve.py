"""``kexp serve``: answers are those of ``kexp predict``, whoever asks beside; errors are JSON; nothing is lost."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from published_runs import trained
from support import kexp, tiny_spec

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.contracts.task import NOTHING
from kexp.data.batching import TokensPerBatch
from kexp.errors import KexpError
from kexp.inference.columns import TextColumns
from kexp.inference.trained_model import Answers, TrainedModel
from kexp.serve import server as server_module
from kexp.serve.app import make_app
from kexp.serve.batcher import Batcher, Busy
from kexp.trained import load
from kexp.ui.guard import LONGEST_BODY

ROUNDING = 1e-6
"""By how much probabilities in fp32 differ with the shape of the batch."""
TEXTS = ["3번째 영화 최고 배우 3 정말", "지루하다", "무난 " * 40, "[SEP] 별로", "가" * 300, "  최고  "]


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    return trained(reviews, folder, spec=tiny_spec(epochs=1)) / "default" / "seed-1"


@pytest.fixture(scope="module")
def model(run: Path) -> TrainedModel:
    return load(run)


def app_of(model: Any, **limits: int) -> Any:
    return make_app(model, "a model", Batcher(model, **limits), ["testserver"], max_texts=50)


@pytest.fixture(scope="module")
def client(model: TrainedModel) -> Iterator[TestClient]:
    with TestClient(app_of(model)) as client:
        yield client


class Slow:
    """A model of two labels that answers with the lengths of texts, when it is let to, and keeps what it was asked."""

    labels = ("짧음", "긺")
    columns = TextColumns()
    max_length = 100
    task, chosen = SingleLabel(), NOTHING
    decided = TrainedModel.decided

    def __init__(self) -> None:
        self.free, self.started = threading.Event(), threading.Event()
        self.asked: list[list[str]] = []

    def answer_joined(self, texts: Sequence[str], pairs: Sequence[str] | None, size: Any) -> Answers:
        assert isinstance(size, TokensPerBatch)
        self.asked.append(list(texts))
        self.started.set()
        assert self.free.wait(20)
        if "break" in texts:
            raise KexpError("the model is broken")
        share = np.array([len(text) / 1000 for text in texts])
        return Answers(np.stack([1 - share, share], 1), 0, 0)


def probabilities(found: Any, labels: Sequence[str]) -> list[list[float]]:
    return [[one["probabilities"][label] for label in labels] for one in found["predictions"]]


# --- what is answered -------------------------------------------------------------------------------------------------


def test_answers_are_those_of_predict(client: TestClient, model: TrainedModel, run: Path) -> None:
    answer = client.post("/predict", json={"texts": TEXTS})
    assert answer.status_code == 200
    expected = model.predict(TEXTS)
    assert np.array(probabilities(answer.json(), model.labels)) == pytest.approx(expected, abs=ROUNDING)
    printed = [json.loads(line) for line in kexp("predict", run, *TEXTS, "--json").stdout.splitlines()]
    for one, row in zip(answer.json()["predictions"], printed, strict=True):
        assert one["label"] == row["predicted"]
        assert one["confidence"] == pytest.approx(row["confidence"], abs=ROUNDING)
        assert one["confidence"] == max(one["probabilities"].values())
    assert client.post("/predict", json={"text": TEXTS[0]}).json()["predictions"][0]["label"] == printed[0]["predicted"]


def test_company_does_not_change_an_answer(model: TrainedModel) -> None:
    expected = {text: model.predict([text])[0] for text in TEXTS}

    async def ask() -> list[tuple[str, Any]]:
        batcher = Batcher(model, batch_tokens=64)
        worker = asyncio.create_task(batcher.run())
        asked = [TEXTS[number % len(TEXTS)] for number in range(40)]
        found = await asyncio.gather(*(batcher.predict([text], None) for text in asked))
        many = await batcher.predict(asked, None)
        worker.cancel()
        return [*zip(asked, [rows[0] for rows in found], strict=True), *zip(asked, many, strict=True)]

    for text, row in asyncio.run(ask()):
        assert row == pytest.approx(expected[text], abs=ROUNDING)


def test_pairs_and_columns_are_read_as_in_training(tmp_path: Path) -> None:
    rows = ["a,b,label"] + [
        f"{n} 질문 하나,{n if n % 2 else n + 1} 질문 하나,{'같다' if n % 2 else '다르다'}" for n in range(60)
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(rows), "utf-8")
    spec = tiny_spec(dataset='text = "a"\ntext_pair = "b"', epochs=1)
    folder = trained(tmp_path / "pairs.csv", tmp_path, spec=spec)
    model = load(folder)
    with TestClient(app_of(model)) as client:
        asked = [["3 질문 하나", "3 질문 하나"], {"b": "5 질문", "a": "4 질문"}]
        answer = client.post("/predict", json={"texts": asked})
        expected = model.predict([("3 질문 하나", "3 질문 하나"), ("4 질문", "5 질문")])
        assert np.array(probabilities(answer.json(), model.labels)) == pytest.approx(expected, abs=ROUNDING)
        alone = client.post("/predict", json={"texts": ["3 질문 하나"]})
        assert alone.status_code == 422
        assert "pairs of the text column a and b, and is given one text" in alone.json()["detail"]
        assert client.post("/predict", json={"texts": [["a", " "]]}).json() == {"detail": "texts[0]: it has no text"}
        assert client.get("/health").json()["columns"] == ["a", "b"]


def test_health_and_description(client: TestClient, model: TrainedModel) -> None:
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["labels"] == list(model.labels)
    assert health["waiting_tokens"] == 0
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/health"}
    assert set(described["paths"]["/predict"]["post"]["responses"]) >= {"200", "400", "413", "422", "415", "503"}
    for path in ("/", "/docs"):
        page = client.get(path).text
        # No script, style or font of another server.
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
        assert "/predict" in page


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b'{"texts": [', 400, "the body is no JSON"),
    "no object": (b"[]", 422, "valid dictionary"),
    "nothing": ({}, 422, "give either text, or texts"),
    "both": ({"text": "a", "texts": ["b"]}, 422, "give either text, or texts"),
    "another key": ({"text": "a", "model": "x"}, 422, "Extra inputs"),
    "no texts": ({"texts": []}, 422, "expected one text at least, found none"),
    "blank text": ({"texts": ["최고", " \u3000\n"]}, 422, "texts[1]: it has no text"),
    "null": ({"texts": ["최고", None]}, 422, "texts[1]: "),
    "number": ({"texts": [3]}, 422, "texts[0]: "),
    "too many": ({"texts": ["최고"] * 51}, 422, "expected at most 50 texts, found 51"),
    "too long": ({"text": "가" * (LONGEST_BODY // 3)}, 413, "the body is longer than 4,194,304 bytes"),
    "not UTF-8": (b'{"text": "\xff"}', 400, ""),
}


@pytest.mark.parametrize(("body", "status", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_in_json(client: TestClient, body: Any, status: int, detail: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (status, ["detail"]), answer.text
    assert detail in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 500


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_body_that_is_not_said_to_be_json_is_told_so(client: TestClient, kind: str) -> None:
    answer = client.post("/predict", content=b'{"text": "a"}', headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 415
    assert f"Content-Type: application/json, found {kind or 'none'}" in answer.json()["detail"]


def test_other_addresses_and_origins_are_json_too(client: TestClient) -> None:
    for answer, status in (
        (client.get("/predict"), 405),
        (client.get("/nothing"), 404),
        (client.post("/predict", json={"text": "a"}, headers={"Origin": "https://example.com"}), 403),
    ):
        assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert client.get("/health", headers={"Host": "example.com"}).status_code == 400


@pytest.mark.parametrize("text", ["\\ud800 최고", "\\u0000최고", "\\uffff", "🤖" * 5000, "ㅋ" * 100_000])
def test_odd_texts_are_answered(client: TestClient, text: str) -> None:
    answer = client.post(
        "/predict", content=f'{{"text": "{text}"}}'.encode(), headers={"Content-Type": "application/json"}
    )
    if "\\ud800" in text:
        half = "texts[0]: it has half of a surrogate pair, which is no character"
        assert (answer.status_code, answer.json()) == (422, {"detail": half})
    else:
        assert (answer.status_code, list(answer.json())) == (200, ["predictions"])


# --- batches ----------------------------------------------------------------------------------------------------------


def batched(work: Callable[[Slow, Batcher], Any], **limits: int) -> Slow:
    """Run some work beside a batcher of a slow model."""

    async def inside() -> Slow:
        model = Slow()
        batcher = Batcher(model, **limits)
        worker = asyncio.create_task(batcher.run())
        await work(model, batcher)
        worker.cancel()
        return model

    return asyncio.run(inside())


async def started(model: Slow) -> None:
    assert await asyncio.to_thread(model.started.wait, 10)


def test_what_waits_is_predicted_together_up_to_the_budget() -> None:
    async def work(model: Slow, batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.predict(["먼저"], None))
        await started(model)
        # 13 tokens each, with the special ones: two fit into 30.
        others = [asyncio.create_task(batcher.predict([f"{number:010d}"], None)) for number in range(5)]
        await asyncio.sleep(0)
        assert batcher.waiting == 5 * 13
        model.free.set()
        await asyncio.gather(first, *others)
        assert batcher.waiting == 0

    model = batched(work, batch_tokens=30)
    assert [len(texts) for texts in model.asked] == [1, 2, 2, 1]
    assert [text for texts in model.asked for text in texts][1:] == [f"{number:010d}" for number in range(5)]


def test_a_large_request_is_cut_and_joined_again() -> None:
    texts = ["가" * length for length in (1, 500, 2, 3, 91, 4)]
    found = []

    async def work(model: Slow, batcher: Batcher) -> None:
        model.free.set()
        found.extend(await batcher.predict(texts, None))

    model = batched(work, batch_tokens=100)
    assert [row[1] for row in found] == [len(text) / 1000 for text in texts]
    # A text counts as the model's 100 tokens, at most.
    assert [[len(text) for text in one] for one in model.asked] == [[1], [500], [2, 3], [91], [4]]


def test_too_much_waiting_is_refused_until_there_is_room() -> None:
    async def work(model: Slow, batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.predict(["먼저"], None))
        await started(model)
        second = asyncio.create_task(batcher.predict(["가" * 50], None))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as busy:
            await batcher.predict(["가" * 50], None)
        assert 1 <= busy.value.seconds <= 60
        model.free.set()
        await asyncio.gather(first, second)
        # Where nothing waits, even what is larger than the limit is answered.
        assert len(await batcher.predict(["가" * 90, "나" * 90], None)) == 2

    batched(work, batch_tokens=60, waiting_tokens=80)


def test_busy_is_503_with_a_time_to_come_again() -> None:
    model = Slow()
    with TestClient(app_of(model, batch_tokens=60, waiting_tokens=80)) as client, ThreadPoolExecutor(4) as threads:
        first = threads.submit(client.post, "/predict", json={"text": "먼저"})
        assert model.started.wait(10)
        second = threads.submit(client.post, "/predict", json={"text": "가" * 50})
        while client.get("/health").json()["waiting_tokens"] == 0:
            time.sleep(0.01)
        refused = client.post("/predict", json={"text": "가" * 50})
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert "too many texts are waiting" in refused.json()["detail"]
        model.free.set()
        assert [first.result(10).status_code, second.result(10).status_code] == [200, 200]


def test_a_failing_batch_is_told_to_those_in_it_and_the_next_is_answered() -> None:
    model = Slow()
    model.free.set()
    with TestClient(app_of(model), raise_server_exceptions=False) as client:
        broken = client.post("/predict", json={"texts": ["break"]})
        assert (broken.status_code, broken.json()) == (500, {"detail": "the model is broken"})
        assert client.post("/predict", json={"texts": ["나"]}).status_code == 200


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command on a free port, and its address."""
    command = [sys.executable, "-m", "kexp", "serve", str(run), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if found := re.match(r"http://127\.0\.0\.1:\d+", line):
                break
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_stopping_answers_what_has_come_in(server: tuple[subprocess.Popen[str], str], sent: signal.Signals) -> None:
    process, address = server
    texts = [f"{number}번째 영화 최고 배우" for number in range(900)]
    with httpx.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(1) as threads:
        assert client.get("/health").json()["status"] == "ok"
        asked = threads.submit(httpx.post, f"{address}/predict", json={"texts": texts}, timeout=60)
        while not client.get("/health").json()["waiting_tokens"] and not asked.done():
            time.sleep(0.005)
        process.send_signal(sent)
        answer = asked.result()
    assert (answer.status_code, len(answer.json()["predictions"])) == (200, 900)
    assert process.wait(20) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{address}/health", timeout=5)


def test_a_client_that_sends_no_more_is_not_waited_for_forever(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_module, "GRACE", 0.2)
    # Signals go to the main thread alone.
    monkeypatch.setattr(uvicorn.Server, "capture_signals", lambda server: nullcontext())
    started: list[uvicorn.Server] = []
    startup = uvicorn.Server.startup
    monkeypatch.setattr(
        uvicorn.Server, "startup", lambda server, sockets: started.append(server) or startup(server, sockets)
    )
    port = free_port()
    thread = threading.Thread(
        target=server_module.serve,
        args=(model, "a model", "127.0.0.1", port),
        kwargs={"batch_tokens": 100, "waiting_tokens": 100, "max_texts": 10},
    )
    thread.start()
    while not (started and started[0].started):
        time.sleep(0.01)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        # The beginning of the request is read before the answer to another one.
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        started[0].should_exit = True
        thread.join(20)
        assert not thread.is_alive()
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "graceful shutdown exceeded" in told


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.chromium
def test_page_predicts_what_is_typed(
    server: tuple[subprocess.Popen[str], str], chromium: Any, model: TrainedModel
) -> None:
    tab = chromium.new_page(base_url=server[1])
    told: list[str] = []
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("console", lambda message: told.append(message.text))
    tab.on("request", lambda request: request.url.startswith(server[1]) or told.append(request.url))
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto("/")
    tab.fill("textarea", "3번째 영화 최고\n\n지루하다")
    tab.click("button")
    tab.wait_for_selector("#answer:not([hidden])")
    answer = json.loads(tab.text_content("#answer"))
    expected = model.predict(["3번째 영화 최고", "지루하다"])
    assert np.array(probabilities(answer, model.labels)) == pytest.approx(expected, abs=ROUNDING)
    assert ", ".join(model.labels) in tab.text_content("#model")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert told == []


def test_mistakes_of_the_command_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = kexp("serve", tmp_path / "nothing")
    assert (result.exit_code, "does not exist" in result.stderr) == (2, True)
    result = kexp("serve", run, "--host", "203.0.113.1", "--port", "0")
    assert (result.exit_code, "is not available" in result.stderr) == (2, True)
    for module in [name for name in sys.modules if name.startswith("kexp.serve")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = kexp("serve", run)
    assert result.exit_code == 2
    assert "pip install 'kexp[serve]'" in result.stderr


def test_published_folder_is_served_as_its_run(run: Path, tmp_path: Path, model: TrainedModel) -> None:
    assert kexp("publish", run, "--to", tmp_path / "model", "--licence", "mit").exit_code == 0
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    with TestClient(app_of(load(tmp_path / "model"))) as client:
        answer = client.post("/predict", json={"texts": TEXTS})
    assert np.array(probabilities(answer.json(), model.labels)) == pytest.approx(model.predict(TEXTS), abs=ROUNDING)
