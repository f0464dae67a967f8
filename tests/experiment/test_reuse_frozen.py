"""Frozen blocks that are run once: weights of a plain loop, and where it is not done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import kexp, tiny_spec
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)
from typer.testing import CliRunner

from kexp.builtin.freezing import FreezeAllButHead, FreezeBottomLayers, FreezeEmbeddings, GradualUnfreezing, NoFreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.builtin.samplers import RandomSampler
from kexp.cli import app
from kexp.contracts.freezing import block_names
from kexp.data.batching import RowsPerBatch
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.ragged import Ragged, offsets_of
from kexp.data.rows import Rows
from kexp.data.stored_hidden_states import StoredHiddenStates, making_order
from kexp.devices import choose
from kexp.experiment.reuse_frozen import StatesByEpoch, frozen_layers
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.spec.training_section import Training
from kexp.train.loop import Trainer
from tests.support import unseen

LAYERS, PAD, ROWS, CPU = 3, 0, 37, torch.device("cpu")


def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        # Fresh weights are so small that every row has nearly the same logits.
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def encoded() -> Encoded:
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 30, ROWS)
    return Encoded(Ragged(draw.integers(5, 60, lengths.sum()).astype(np.int32), offsets_of(lengths)), None, 0)


def stream(rows: Encoded) -> LabelledStream:
    labels = np.arange(ROWS) % 3
    return LabelledStream(
        Rows([""] * ROWS, None, labels, np.arange(ROWS)), rows, RandomSampler(), Collator(PAD, True), 7, RowsPerBatch(8)
    )


def on_device(rows: Encoded, few: np.ndarray) -> TokenRows:
    return TokenRows.of(Collator(PAD, True)(rows, few), CPU)


def stored(model: BertForSequenceClassification, layers: int, precision: str = "fp32") -> Encoded:
    """Return the rows with what the first layers make of them."""
    rows, classifier = encoded(), Classifier(model, choose("cpu", precision), PAD)
    made = [classifier.hidden(on_device(rows, few), layers) for few in making_order(rows.tokens.lengths)]
    states = StoredHiddenStates.as_made(torch.cat(made), rows.tokens.lengths, first=layers == LAYERS)
    return replace(rows, hidden=states.of)


@pytest.mark.parametrize("layers", [1, 2, LAYERS])
def test_training_ends_at_the_weights_of_a_plain_loop(layers: int, tmp_path: Path) -> None:
    model, plain = bert(), bert()
    options = Training(epochs=3, learning_rate=1e-2, batch_size=8, schedule="constant", weight_decay=0.0, keep="last")
    run = Trainer(
        Classifier(model, choose("cpu", "fp32"), PAD, layers), CrossEntropy(0.0, None), FreezeBottomLayers(layers=layers),
        stream(stored(model, layers)), lambda: {"macro_f1": 0.0}, options, seed=7, greater_is_better=True,
        folder=tmp_path,
    )  # fmt: skip
    for module in (model.bert.embeddings, *model.bert.encoder.layer[:layers]):
        for part in module.modules():
            part.register_forward_pre_hook(unseen(lambda module, given: pytest.fail("a frozen layer was run")))
    events = list(run.events())
    plain.train()
    for module in (plain.bert.embeddings, *plain.bert.encoder.layer[:layers]):
        module.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in plain.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    losses = []
    for epoch in range(3):
        for (micro,) in stream(encoded()).epoch(epoch):
            inputs = TokenRows.of(micro.labelled.inputs, CPU).padded(PAD)
            loss = torch.nn.functional.cross_entropy(plain(**inputs).logits, torch.from_numpy(micro.labelled.labels))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    told = [event.train_loss for event in events if type(event).__name__ == "Evaluated"]
    assert told == pytest.approx(np.asarray(losses).reshape(3, -1).mean(1), rel=1e-5)
    for (name, ours), (_, theirs) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        # Attention does not change with the bias of its keys: AdamW makes steps of rounding errors.
        if not name.endswith("key.bias"):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_stored_states_are_those_of_the_rows_in_whatever_order_they_are_asked_for() -> None:
    model = bert().eval()
    rows = stored(model, 2)
    assert rows.hidden is not None
    asked = np.asarray([5, 0, 36, 5, 11])
    found, lengths = rows.hidden(asked), rows.tokens.lengths[asked]
    for row, hidden in zip(asked, found.split(lengths.tolist()), strict=True):
        ids = torch.from_numpy(rows.tokens.row(row).astype(np.int64))[None]
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states[2]
        torch.testing.assert_close(hidden, alone[0], rtol=1e-5, atol=1e-5)
        assert torch.equal(hidden, rows.hidden(np.asarray([row])))
    assert torch.equal(stored(bert(), 2).hidden(asked), found)
    assert torch.equal(rows.take(asked[::-1].copy()).hidden_of(np.asarray([4, 0])), rows.hidden(asked[[0, 4]]))


def test_states_are_made_of_the_longest_rows_first_within_a_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kexp.data.stored_hidden_states.TOKENS", 10)
    order = making_order(np.asarray([3, 12, 5, 3, 5, 3]))
    assert [batch.tolist() for batch in order] == [[1], [2, 4], [0, 3, 5]]
    assert making_order(np.empty(0, np.int64)) == []


def test_of_all_layers_first_tokens_alone_are_stored() -> None:
    model = bert().eval()
    rows = stored(model, LAYERS)
    padded = on_device(rows, np.asarray([7, 3])).padded(PAD)
    expected = model(**padded, output_hidden_states=True).hidden_states[-1][:, 0]
    torch.testing.assert_close(rows.hidden(np.asarray([7, 3])), expected, rtol=1e-5, atol=1e-5)


def test_stored_states_have_the_precision_that_comes_out() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        padded = on_device(encoded(), np.arange(2)).padded(PAD)
        expected = bert().eval()(**padded, output_hidden_states=True).hidden_states[2]
    assert stored(bert(), 2, "bf16").hidden(np.arange(3)).dtype == expected.dtype


# --- when ------------------------------------------------------------------------------------------------------------


def test_layers_count_while_they_and_all_below_were_never_trained() -> None:
    names = block_names(4)
    assert frozen_layers(NoFreezing(), names, 3) == [0, 0, 0]
    assert frozen_layers(FreezeEmbeddings(), names, 3) == [0, 0, 0]
    assert frozen_layers(FreezeBottomLayers(layers=2), names, 3) == [2, 2, 2]
    assert frozen_layers(FreezeAllButHead(), names, 2) == [4, 4]
    assert frozen_layers(GradualUnfreezing(), names, 7) == [4, 3, 2, 1, 0, 0, 0]

    class Upper(NoFreezing):
        def frozen(self, blocks, epoch):
            return blocks[2:4]

    assert frozen_layers(Upper(), names, 3) == [0, 0, 0]

    class FrozenAgain(NoFreezing):
        def frozen(self, blocks, epoch):
            return blocks[: (4, 2, 5, 1)[epoch]]

    assert frozen_layers(FrozenAgain(), names, 4) == [3, 1, 1, 0]


# --- whole runs ------------------------------------------------------------------------------------------------------

SPEC = tiny_spec("seeds = [1]", '[freezing]\nuse = "bottom-layers"\nlayers = 1', layers=2)
KEPT = "were computed once and are kept"


@dataclass
class Ran:
    """A run by the command line."""

    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text("utf-8")

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text("utf-8"))

    @property
    def losses(self) -> list[float]:
        events = map(json.loads, (self.folder / "metrics.jsonl").read_text("utf-8").splitlines())
        return [event["train_loss"] for event in events if event["event"] == "evaluation"]

    def file(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


Start = Callable[..., Ran]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def start(write_spec: Callable[..., Path], reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    def start(*settings: str, text: str = SPEC, code: int = 0) -> Ran:
        command = [
            "run",
            str(write_spec(text.format(data=reviews))),
            "--runs-dir",
            str(tmp_path_factory.mktemp("runs")),
        ]
        command += ["--json", "--quiet", *(part for setting in settings for part in ("--set", setting))]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return Ran(Path(json.loads(done.stdout)["folder"]) / "default" / "seed-1")

    return start


FROZEN = ["freezing={use = 'bottom-layers', layers = 1}", "freezing={use = 'all-but-head'}"]


@pytest.mark.parametrize("freezing", FROZEN)
@pytest.mark.parametrize("objective", ["cross-entropy", "r-drop"])
def test_run_gives_what_it_gives_without(start: Start, freezing: str, objective: str) -> None:
    ours, again, plain = (
        start(freezing, f"objective={objective}", f"training.reuse_frozen={reuse}")
        for reuse in ("true", "true", "false")
    )
    assert KEPT in ours.log
    assert KEPT not in plain.log
    assert ours.losses == pytest.approx(plain.losses, rel=1e-4)
    assert ours.result.keys() - plain.result.keys() == {"hidden_states"}
    for split in ("validation", "test"):
        assert ours.result["metrics"][split] == pytest.approx(plain.result["metrics"][split], rel=1e-3)
    for name in ("model/model.safetensors", "predictions.parquet"):
        assert ours.file(name) == again.file(name)
    # Test goes through the whole model, and says what the saved model says.
    frame = pd.read_parquet(ours.folder / "predictions.parquet")
    model = AutoModelForSequenceClassification.from_pretrained(ours.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(ours.folder / "model")
    with torch.inference_mode():
        inputs = tokenizer(list(frame["text"]), truncation=True, padding=True, return_tensors="pt")
        expected = model(**inputs).logits.softmax(-1).numpy()
    columns = [f"probability:{label}" for label in model.config.id2label.values()]
    assert frame[columns].to_numpy() == pytest.approx(expected, abs=1e-5)


FEW = ["labelled={per_class = 8}", "training.batch_size=8", "training.epochs=12"]
DELETION = "augmentation={unlabelled = {use = 'random-deletion', p = 0.2}}"


@pytest.mark.parametrize("freezing", FROZEN)
@pytest.mark.parametrize("settings", [["objective=pseudo-label"], ["objective=uda", DELETION]], ids=lambda of: of[0])
def test_unlabelled_rows_are_reused_too(start: Start, freezing: str, settings: list[str]) -> None:
    ours, again, plain = (
        start(freezing, *FEW, *settings, f"training.reuse_frozen={reuse}") for reuse in ("true", "true", "false")
    )
    # 24 labelled rows, 24 of validation and 168 unlabelled ones.
    assert re.search("hidden states of 216 rows were computed once and are kept", ours.log)
    assert ours.losses == pytest.approx(plain.losses, rel=1e-3)
    assert ours.result["metrics"]["validation"] == pytest.approx(plain.result["metrics"]["validation"], rel=1e-2)
    assert ours.file("model/model.safetensors") == again.file("model/model.safetensors")


def test_unlabelled_rows_that_are_seen_once_are_not_stored(start: Start) -> None:
    log = start(FROZEN[0], *FEW, "objective=pseudo-label", "training.epochs=2", "training.unlabelled_ratio=1").log
    assert "hidden states of 48 rows were computed once" in log


@pytest.mark.parametrize("freezing", FROZEN)
def test_run_in_bf16_learns_what_it_learns_without(start: Start, freezing: str) -> None:
    settings = (freezing, "training.precision=bf16", "training.device=cpu")
    ours, again, plain = (start(*settings, f"training.reuse_frozen={reuse}") for reuse in ("true", "true", "false"))
    assert KEPT in ours.log
    assert ours.losses == pytest.approx(plain.losses, rel=0.02)
    assert ours.file("model/model.safetensors") == again.file("model/model.safetensors")


def test_log_tells_rows_and_memory(start: Start) -> None:
    every, first = (start(freezing, "training.epochs=2").log for freezing in FROZEN)
    # 192 rows of train and 24 of validation; 32 numbers of 4 bytes for a token.
    (size,) = re.findall(
        r"frozen up to layer\.0: hidden states of 216 rows were computed once and are kept, ([\d.]+) MiB "
        r"\(every token, in memory\); those of 0 rows were known before",
        every,
    )
    assert float(size) > 0.1
    assert (
        f"layer.1: hidden states of 216 rows were computed once and are kept, {216 * 32 * 4 / 2**20:.1f} MiB (first token, in memory)"
        in first
    )


def test_pairs_of_texts_keep_their_token_types(write_spec: Callable[..., Path], tmp_path: Path, start: Start) -> None:
    rows = [f"영화 {n} {'최고' if n % 2 else '최악'},배우 {n % 7},{n % 2}" for n in range(120)]
    (tmp_path / "pairs.csv").write_text("text,second,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    text = SPEC.replace('path = "{data}"', f'path = "{tmp_path / "pairs.csv"}"\ntext_pair = "second"')
    ours, plain = (start(f"training.reuse_frozen={reuse}", text=text) for reuse in ("true", "false"))
    assert KEPT in ours.log
    assert ours.losses == pytest.approx(plain.losses, rel=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        ["training.reuse_frozen=false"],
        ["freezing={use = 'embeddings'}"],
        ["freezing={use = 'none'}"],
        ["training.epochs=1"],
        ["augmentation.labelled={use = 'random-deletion', p = 0.2}"],
        ["labelled.per_class=8", "objective=pseudo-label", "training.batch_size=4", "training.steps=2"],
    ],
    ids=str,
)
def test_whole_model_is_run_in_every_step_where_nothing_can_be_reused(start: Start, settings: list[str]) -> None:
    assert "frozen up to" not in start(*settings).log


@pytest.mark.parametrize("freezing", FROZEN)
def test_weights_are_equal_in_memory_and_in_a_file_and_whether_states_were_known_or_not(
    start: Start, freezing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold, warm = start(freezing), start(freezing)
    monkeypatch.setenv("KEXP_HIDDEN_STATES_GIB", "0")
    alone = start(freezing)
    monkeypatch.delenv("KEXP_HIDDEN_STATES_GIB")
    monkeypatch.setattr("kexp.experiment.reuse_frozen.MEMORY", 2**10)
    mapped = start(freezing)
    monkeypatch.setenv("KEXP_CACHE_DIR", str(cold.folder / "empty"))
    fresh = start(freezing)
    runs = [cold, warm, alone, mapped, fresh]
    for name in ("model/model.safetensors", "predictions.parquet"):
        assert len({run.file(name) for run in runs}) == 1
    assert [run.result["hidden_states"]["rows_known"] for run in runs] == [0, 216, 216, 216, 0]
    assert [run.result["hidden_states"]["mapped"] for run in runs] == [False, False, False, True, True]
    assert len(list((cold.folder / "empty/hidden-states").glob("*.safetensors"))) == 2


def test_rows_of_damaged_files_were_not_known(start: Start, own_cache: Path) -> None:
    cold = start("training.epochs=2")
    largest = max((own_cache / "hidden-states").glob("*.safetensors"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    again = start("training.epochs=2")
    assert f"{largest} is damaged: " in again.log
    assert again.result["hidden_states"]["rows_known"] == 24
    assert "those of 24 rows were known before" in again.log
    assert again.file("model/model.safetensors") == cold.file("model/model.safetensors")


def test_without_memory_for_hidden_states_the_frozen_blocks_are_run(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    plain = start("training.reuse_frozen=false")
    monkeypatch.setattr("kexp.model.forward.Classifier.hidden", full)
    ours = start()
    reason = (
        "out of memory; hidden states are made of many tokens at once (CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )
    assert ours.result["hidden_states"] == {"frozen_up_to": "layer.0", "not_stored": reason}
    assert f"frozen up to layer.0: {reason}; the frozen blocks are run in every step" in ours.log
    assert ours.file("model/model.safetensors") == plain.file("model/model.safetensors")


def test_states_are_those_of_weights_rows_and_precision_alone(start: Start) -> None:
    def known(*settings: str) -> int:
        return start("training.epochs=2", *settings).result["hidden_states"]["rows_known"]

    assert known() == 0
    # Neither what is above the frozen blocks nor how it is trained changes them.
    assert known("training.learning_rate=1e-3", "training.batch_size=8", "evaluation.batch_size=7") == 216
    assert known("training.epochs=4", "objective=r-drop", "training.device=cpu") == 216
    assert known("training.max_length=6") == 0
    assert known("training.precision=bf16", "training.device=cpu") == 0
    assert known("backbone.layers=3", "freezing.layers=2") == 0


def test_hidden_states_that_cannot_be_kept_are_told_with_the_numbers(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = start("training.reuse_frozen=false")
    monkeypatch.setattr("kexp.experiment.reuse_frozen.MEMORY", 2**10)
    monkeypatch.setenv("KEXP_HIDDEN_STATES_GIB", "0.00001")
    ours = start()
    reason = r"hidden states are not stored: [\d.]+ MiB are more than 0\.0 GiB, the limit; KEXP_HIDDEN_STATES_GIB sets another one"
    message = rf"frozen up to layer\.0: {reason}; the frozen blocks are run in every step"
    assert re.search(message, ours.log)
    assert re.fullmatch(reason, ours.result["hidden_states"]["not_stored"])
    assert ours.file("model/model.safetensors") == plain.file("model/model.safetensors")
    assert ours.file("predictions.parquet") == plain.file("predictions.parquet")


def test_a_limit_that_is_no_number_is_refused_before_anything_is_made(
    write_spec: Callable[..., Path], reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ("ten", "-1", "nan", "inf"):
        monkeypatch.setenv("KEXP_HIDDEN_STATES_GIB", wrong)
        found = kexp("run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path / "runs")
        assert found.exit_code == 2
        expected = f'KEXP_HIDDEN_STATES_GIB: expected a number of GiB such as 10, or 0 to store none, found "{wrong}"'
        assert expected in found.stderr
        assert not (tmp_path / "runs").exists()


POOL = ["labelled.per_class=8", "training.batch_size=4"]


@pytest.mark.parametrize("objective", ["pseudo-label", "mean-teacher"])
def test_unlabelled_rows_start_at_their_hidden_states(start: Start, objective: str) -> None:
    settings = [*POOL, f"objective={objective}", "training.epochs=20"]
    if objective == "mean-teacher":
        settings.append("augmentation.unlabelled={use = 'random-deletion', p = 0.2}")
    ours, again, plain = (start(*settings, f"training.reuse_frozen={reuse}") for reuse in ("true", "true", "false"))
    found = ours.result["hidden_states"]
    # 16 labelled rows, the 176 others of train, and validation.
    assert found["rows"] == 16 + 176 + 24
    assert ours.losses == pytest.approx(plain.losses, rel=1e-4)
    assert ours.file("model/model.safetensors") == again.file("model/model.safetensors")


def test_stored_views_start_at_their_hidden_states(
    write_spec: Callable[..., Path], tmp_path: Path, start: Start
) -> None:
    rows = [
        f"영화 {n} {'최고' if n % 2 else '최악'},영화 {n} 참 {'최고' if n % 2 else '최악'},{n % 2}" for n in range(120)
    ]
    (tmp_path / "views.csv").write_text("text,augmented,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    text = SPEC.replace('path = "{data}"', f'path = "{tmp_path / "views.csv"}"')
    text = text.replace('use = "table"', 'use = "table"\naugmented = "augmented"')
    settings = [*POOL, "objective=uda", "training.epochs=20"]
    ours, plain = (start(*settings, f"training.reuse_frozen={reuse}", text=text) for reuse in ("true", "false"))
    assert ours.result["hidden_states"]["rows"] == 16 + 2 * 80 + 12
    assert ours.losses == pytest.approx(plain.losses, rel=1e-4)


GRADUAL = ["freezing={use = 'gradual'}", "training.epochs=4"]


@pytest.mark.parametrize("more", [[], ["objective=r-drop", "evaluation.train=true"]], ids=["plain", "r-drop"])
def test_gradual_unfreezing_begins_at_fewer_layers_when_some_thaw(
    start: Start, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    begin, seen = StatesByEpoch.begin, []

    def watched(self: StatesByEpoch, epoch: int) -> None:
        begin(self, epoch)
        held = sum(values.nbytes for values in self.store.recent.values()) / 2**20
        seen.append((epoch, self.classifier.known_layers, held))

    monkeypatch.setattr(StatesByEpoch, "begin", watched)
    cold = start(*GRADUAL, *more)
    epochs = seen[:]
    warm, plain = start(*GRADUAL, *more), start(*GRADUAL, *more, "training.reuse_frozen=false")
    monkeypatch.setenv("KEXP_HIDDEN_STATES_GIB", "0")
    alone = start(*GRADUAL, *more)
    for run in (cold, warm, alone):
        assert run.losses == pytest.approx(plain.losses, rel=1e-4)
        assert run.result["metrics"]["validation"] == pytest.approx(plain.result["metrics"]["validation"], rel=1e-3)
        assert run.result["hidden_states"]["layers"] == [2, 1]
        for name in ("model/model.safetensors", "predictions.parquet"):
            assert run.file(name) == cold.file(name)
    assert [run.result["hidden_states"]["rows_known"] for run in (cold, warm)] == [0, 216]
    # Before the first epoch, in each of four, and for the tests of the best model.
    assert [epoch for epoch, _, _ in epochs[:-1]] == [0, 0, 1, 2, 3]
    assert [layers for _, layers, _ in epochs[:-1]] == [2, 2, 1, 0, 0]
    sizes = [held for _, _, held in epochs]
    first_tokens = 216 * 32 * 4 / 2**20
    assert sizes[0] == sizes[1] == pytest.approx(cold.result["hidden_states"]["mib"])
    # Those of validation, 24 of 216 rows, are kept for the best model.
    assert sizes[1] - sizes[2] == pytest.approx(first_tokens * 192 / 216)
    assert 0 < sizes[3] == sizes[4] < 0.2 * sizes[0]


def test_every_kept_model_is_calibrated_at_the_states_of_its_own_epoch(start: Start) -> None:
    settings = [*GRADUAL, "training.keep=4", "evaluation.calibrate=true", "training.learning_rate=1e-2"]
    ours, plain = (start(*settings, f"training.reuse_frozen={reuse}") for reuse in ("true", "false"))
    found = []
    for run in (ours, plain):
        files = [json.loads(path.read_text("utf-8")) for path in sorted(run.folder.glob("model*/calibration.json"))]
        found.append([file["temperature"] for file in files])
    assert len(set(found[1])) == 4
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_of_states_that_do_not_fit_together_those_of_always_frozen_layers_are_kept(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp.experiment.reuse_frozen.MEMORY", 2**10)
    few = start("freezing={use = 'gradual'}", "training.epochs=2")
    assert few.result["hidden_states"]["layers"] == [1]
    assert few.result["hidden_states"]["mapped"]
    all_trained = start(*GRADUAL)
    assert "take more than" in all_trained.result["hidden_states"]["not_stored"]
    plain = start(*GRADUAL, "training.reuse_frozen=false")
    assert all_trained.file("model/model.safetensors") == plain.file("model/model.safetensors")


def test_padded_models_run_their_frozen_blocks_in_every_step(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kexp.model.flat_families.FAMILIES", {})
    plain, ours = start("training.reuse_frozen=false"), start()
    reason = (
        "BertForSequenceClassification of transformers.models.bert.modeling_bert has no forward pass without padding"
    )
    assert f"frozen up to layer.0: {reason}; the frozen blocks are run in every step" in ours.log
    assert ours.result["forward"] == f"padded: {reason}."
    assert ours.result["hidden_states"] == {"frozen_up_to": "layer.0", "not_stored": reason}
    assert ours.file("model/model.safetensors") == plain.file("model/model.safetensors")


def test_trials_of_a_search_share_hidden_states(write_spec: Callable[..., Path], reviews: Path, tmp_path: Path) -> None:
    search = """
[search]
metric = "validation.macro_f1"
trials = 3
[search.space]
"training.learning_rate" = {low = 1e-3, high = 1e-2, log = true}
"""
    found = kexp("tune", write_spec(SPEC.format(data=reviews) + search), "--runs-dir", tmp_path / "runs", "--quiet")
    assert found.exit_code == 0, found.stderr
    records = [json.loads(path.read_text("utf-8")) for path in sorted((tmp_path / "runs").rglob("result.json"))]
    # Three trials, and the test of the spec and of the best trial, which another process trains.
    assert sorted(record["hidden_states"]["rows_known"] for record in records) == [0, 216, 216, 216, 216]
