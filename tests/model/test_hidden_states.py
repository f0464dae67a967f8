"""Frozen blocks that are run once: loss, gradients and weights of a plain loop, and where it is not done."""

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
from support import tiny_spec
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    FNetConfig,
    FNetForSequenceClassification,
    LongformerConfig,
    LongformerForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from typer.testing import CliRunner

from kexp.builtin.freezing import FreezeAllButHead, FreezeBottomLayers, FreezeEmbeddings, GradualUnfreezing, NoFreezing
from kexp.builtin.objectives import CrossEntropy, RDropOptions
from kexp.builtin.samplers import RandomSampler
from kexp.cli import app
from kexp.contracts import Batch, ObjectiveContext, Progress
from kexp.contracts.freezing import block_names
from kexp.data.batching import by_length
from kexp.data.encoding import Encoded, Ragged, offsets_of
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.rows import Rows
from kexp.devices import choose
from kexp.host_batches import HostBatch
from kexp.model.blocks import find_blocks
from kexp.model.forward import Classifier
from kexp.model.hidden_states import Prefix, always_frozen, find_prefix
from kexp.model.token_rows import TokenRows
from kexp.seeds import derive
from kexp.spec.training_section import Training
from kexp.train.loop import Trainer

LAYERS, PAD, ROWS = 3, 1, 37
SHAPE = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 40, "num_labels": 3, "pad_token_id": PAD,
}  # fmt: skip
DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}


def bert() -> PreTrainedModel:
    return BertForSequenceClassification(BertConfig(**SHAPE, **DROPOUT))


def roberta() -> PreTrainedModel:
    return RobertaForSequenceClassification(RobertaConfig(**SHAPE, **DROPOUT))


def electra() -> PreTrainedModel:
    return ElectraForSequenceClassification(ElectraConfig(**SHAPE, **DROPOUT, embedding_size=8))


def distilbert() -> PreTrainedModel:
    config = DistilBertConfig(
        vocab_size=60, dim=16, n_layers=LAYERS, n_heads=2, hidden_dim=32, max_position_embeddings=40, num_labels=3,
        pad_token_id=PAD, dropout=0.2, attention_dropout=0.2,
    )  # fmt: skip
    return DistilBertForSequenceClassification(config)


def deberta() -> PreTrainedModel:
    """Its layers return tuples."""
    return DebertaV2ForSequenceClassification(DebertaV2Config(**SHAPE, **DROPOUT))


def relative() -> PreTrainedModel:
    kinds = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
    return DebertaV2ForSequenceClassification(DebertaV2Config(**SHAPE, **kinds))


def mpnet() -> PreTrainedModel:
    return MPNetForSequenceClassification(MPNetConfig(**SHAPE))


MODELS = [bert, roberta, electra, distilbert, deberta, relative, mpnet]
Build = Callable[[], PreTrainedModel]


def built(build: Build) -> PreTrainedModel:
    torch.manual_seed(0)
    model = build()
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
        Rows([""] * ROWS, None, labels, np.arange(ROWS)), rows, RandomSampler(), Collator(PAD, False), 7, 8
    )


CPU = torch.device("cpu")


def probe(rows: Encoded) -> tuple[TokenRows, TokenRows]:
    order = np.argsort(rows.tokens.lengths, kind="stable")
    short, long = (TokenRows.of(Collator(PAD, False)(rows, few), CPU) for few in (order[:3], order[-3:]))
    return short, long


def prefix_of(model: PreTrainedModel, count: int) -> Prefix | None:
    return find_prefix(find_blocks(model), count, *probe(encoded()), PAD)


def kept(model: PreTrainedModel, count: int, precision: str = "fp32", size: int = 5) -> tuple[Prefix, Encoded]:
    """Return the prefix, and the rows with what it gives for them."""
    rows, prefix = encoded(), prefix_of(model, count)
    assert prefix is not None
    lengths, collator = rows.tokens.lengths, Collator(PAD, False)
    batches = ((few, HostBatch(collator(rows, few), few)) for few in by_length(lengths, size))
    return prefix, replace(rows, hidden=prefix.run(batches, lengths, choose("cpu", precision), PAD).of)


def freeze_plainly(model: PreTrainedModel, count: int) -> None:
    """Freeze by the names that transformers gives, and not by kexp's blocks."""
    model.train()
    stack = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    embeddings = [module for name, module in model.base_model.named_children() if name.startswith("embeddings")]
    shared = ("rel_embeddings", "relative_attention_bias")
    positions = [module for name, module in model.named_modules() if name.endswith(shared)]
    for module in [*embeddings, *positions, *stack[: count - 1]]:
        module.eval().requires_grad_(False)


@pytest.mark.parametrize("count", [2, 3, LAYERS + 1])
@pytest.mark.parametrize("build", MODELS)
def test_loss_and_gradients_are_those_of_the_whole_model(build: Build, count: int) -> None:
    model, plain = built(build), built(build)
    prefix, rows = kept(model, count)
    assert prefix.tokens == (1 if count == LAYERS + 1 else None)
    freeze_plainly(plain, count)
    classifier = Classifier(model, choose("cpu", "fp32"), PAD, prefix)
    for number, ((micro,), (other,)) in enumerate(zip(stream(rows).epoch(0), stream(encoded()).epoch(0), strict=True)):
        rows, labels = TokenRows.of(micro.labelled.inputs, CPU), torch.from_numpy(other.labelled.labels)
        assert rows.hidden is not None
        torch.manual_seed(number)
        ours = torch.nn.functional.cross_entropy(classifier.logits(rows)[0], labels)
        ours.backward()
        torch.manual_seed(number)
        whole = TokenRows.of(other.labelled.inputs, CPU).padded(PAD)
        theirs = torch.nn.functional.cross_entropy(plain(**whole).logits, labels)
        theirs.backward()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for (name, mine), (_, expected) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        assert (mine.grad is None) == (expected.grad is None), name
        if mine.grad is not None:
            torch.testing.assert_close(
                mine.grad, expected.grad, rtol=1e-5, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("count", [2, LAYERS + 1])
@pytest.mark.parametrize("build", MODELS[:4])
def test_training_ends_at_the_weights_of_a_plain_loop(build: Build, count: int, tmp_path: Path) -> None:
    model, plain = built(build), built(build)
    prefix, rows = kept(model, count)
    options = Training(epochs=3, learning_rate=1e-2, batch_size=8, schedule="constant", weight_decay=0.0, keep="last")
    run = Trainer(
        Classifier(model, choose("cpu", "fp32"), PAD, prefix), CrossEntropy(0.0, None), FreezeBottomLayers(layers=count - 1),
        stream(rows), lambda: {"macro_f1": 0.0}, options, seed=7, greater_is_better=True, folder=tmp_path,
    )  # fmt: skip
    passes = []
    prefix.layers[0].register_forward_pre_hook(lambda module, given: passes.append(type(module.forward).__name__))
    events = list(run.events())
    assert set(passes) == {"function"}, "a frozen layer was run"
    freeze_plainly(plain, count)
    optimizer = torch.optim.AdamW([p for p in plain.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    losses, step = [], 0
    for epoch in range(3):
        for (micro,) in stream(encoded()).epoch(epoch):
            torch.manual_seed(derive(7, "dropout", step))
            inputs = TokenRows.of(micro.labelled.inputs, CPU).padded(PAD)
            loss = torch.nn.functional.cross_entropy(plain(**inputs).logits, torch.from_numpy(micro.labelled.labels))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            step += 1
    told = [event.train_loss for event in events if type(event).__name__ == "Evaluated"]
    assert told == pytest.approx(np.asarray(losses).reshape(3, -1).mean(1), rel=1e-5)
    for (name, ours), (_, theirs) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        # Attention does not change with the bias of its keys: AdamW makes steps of rounding errors.
        if not name.endswith(("key.bias", "k_lin.bias")):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [2, LAYERS + 1])
def test_two_passes_of_r_drop_are_those_of_the_whole_model(count: int) -> None:
    model = built(bert)
    prefix, rows = kept(model, count)
    objective = RDropOptions().build(ObjectiveContext([1, 1, 1]))
    losses = []
    for given in (rows, encoded()):
        (micro,) = next(iter(stream(given).epoch(0)))
        classifier = Classifier(model, choose("cpu", "fp32"), PAD, prefix)
        torch.manual_seed(3)
        batch = Batch(TokenRows.of(micro.labelled.inputs, CPU), torch.from_numpy(micro.labelled.labels))
        losses.append(objective.step(classifier, batch, None, Progress(0, 1)).loss)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)


def test_kept_states_are_those_of_the_rows_in_whatever_order_they_are_asked_for() -> None:
    model = built(bert)
    _, rows = kept(model, 3)
    assert rows.hidden is not None
    asked = np.asarray([5, 0, 36, 5, 11])
    found, lengths = rows.hidden(asked), rows.tokens.lengths[asked]
    for row, hidden in zip(asked, found.split(lengths.tolist()), strict=True):
        ids = torch.from_numpy(rows.tokens.row(row).astype(np.int64))[None]
        model.eval()
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states[2]
        torch.testing.assert_close(hidden, alone[0], rtol=1e-5, atol=1e-5)
        assert torch.equal(hidden, rows.hidden(np.asarray([row])))
    again = kept(built(bert), 3)[1]
    assert torch.equal(again.hidden(asked), found)


def test_kept_states_have_the_precision_that_comes_out() -> None:
    _, rows = kept(built(bert), 3, "bf16")
    with torch.autocast("cpu", torch.bfloat16):
        expected = built(bert).eval()(**probe(encoded())[0].padded(PAD), output_hidden_states=True).hidden_states[2]
    assert rows.hidden(np.arange(3)).dtype == expected.dtype


# --- models that need more than hidden states -----------------------------------------------------------------------


def test_positions_that_layers_share_and_that_are_trained_do_not_fit() -> None:
    blocks = find_blocks(built(relative))
    positions = "deberta.encoder.rel_embeddings"
    assert blocks.block_of[positions] == "embeddings"
    trained = replace(blocks, block_of={**blocks.block_of, positions: "head"})
    for count in (3, LAYERS + 1):
        assert find_prefix(blocks, count, *probe(encoded()), PAD) is not None
        assert find_prefix(trained, count, *probe(encoded()), PAD) is None


def test_layers_that_look_at_padding_do_not_fit() -> None:
    config = FNetConfig(**{**SHAPE, "type_vocab_size": 2})
    assert prefix_of(built(lambda: FNetForSequenceClassification(config)), 3) is None


def test_model_that_pads_rows_further_does_not_fit() -> None:
    # Its window is longer than the rows, which Longformer pads to a whole number of windows.
    config = LongformerConfig(**SHAPE, attention_window=[64] * LAYERS)
    assert prefix_of(built(lambda: LongformerForSequenceClassification(config)), 3) is None


def test_dropout_between_frozen_layers_does_not_fit() -> None:
    model = built(bert)
    between = model.bert.encoder.between = torch.nn.Dropout(0.5)
    model.bert.encoder.layer[1].register_forward_pre_hook(lambda module, given: (between(given[0]), *given[1:]))
    assert prefix_of(model, 3) is None
    assert prefix_of(model, 2) is not None


def test_layer_that_is_left_out_does_not_fit() -> None:
    model = built(bert)
    encoder = model.bert.encoder

    def shallow(
        hidden: torch.Tensor, attention_mask: torch.Tensor, **named: object
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(encoder.layer[0](hidden, attention_mask))

    encoder.forward = shallow
    assert prefix_of(model, 2) is not None
    assert prefix_of(model, 3) is None


class Mean(torch.nn.Module):
    """A pooler over all tokens, which at first has no weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[:, 0] + self.weight * hidden[:, :3].mean(1)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_head_that_reads_all_tokens_gets_all(weight: float) -> None:
    model = built(bert)
    model.bert.pooler = Mean(weight)
    prefix = prefix_of(model, LAYERS + 1)
    assert prefix is not None
    assert prefix.tokens is None


# --- when ------------------------------------------------------------------------------------------------------------


def test_only_what_is_frozen_in_every_epoch_counts() -> None:
    names = block_names(4)
    assert always_frozen(NoFreezing(), names, 3) == 0
    assert always_frozen(FreezeEmbeddings(), names, 3) == 1
    assert always_frozen(FreezeBottomLayers(layers=2), names, 3) == 3
    assert always_frozen(FreezeAllButHead(), names, 3) == 5
    assert [always_frozen(GradualUnfreezing(), names, epochs) for epochs in range(1, 8)] == [5, 4, 3, 2, 1, 0, 0]

    class Upper(NoFreezing):
        def frozen(self, blocks, epoch):
            return blocks[2:4]

    assert always_frozen(Upper(), names, 3) == 0


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
    assert ours.result.keys() == plain.result.keys()
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
        r"frozen up to layer\.0: hidden states of 216 rows were computed once and are kept, ([\d.]+) MiB \(every token\)",
        every,
    )
    assert float(size) > 0.1
    assert (
        f"layer.1: hidden states of 216 rows were computed once and are kept, {216 * 32 * 4 / 2**20:.1f} MiB (first token)"
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
        ["freezing={use = 'gradual'}"],
        ["freezing={use = 'embeddings'}"],
        ["freezing={use = 'none'}"],
        ["training.epochs=1"],
        ["augmentation.labelled={use = 'random-deletion', p = 0.2}"],
        ["labelled.per_class=8", "objective=pseudo-label", "training.batch_size=4"],
    ],
    ids=str,
)
def test_whole_model_is_run_in_every_step_where_nothing_can_be_reused(start: Start, settings: list[str]) -> None:
    assert "frozen up to" not in start(*settings).log


def test_too_much_memory_is_told_with_the_numbers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = start("training.reuse_frozen=false")
    monkeypatch.setattr("kexp.experiment.reuse_frozen.LIMIT", 2**10)
    ours = start()
    message = r"frozen up to layer\.0: hidden states of 216 rows would take [\d.]+ MiB, more than 0\.0 MiB; the frozen blocks are run in every step"
    assert re.search(message, ours.log)
    assert ours.file("model/model.safetensors") == plain.file("model/model.safetensors")
    assert ours.file("predictions.parquet") == plain.file("predictions.parquet")


def test_model_that_does_not_fit_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = start("training.reuse_frozen=false")
    monkeypatch.setattr("kexp.model.hidden_states._fits", lambda *given: 1 / 0)
    ours = start()
    assert (
        "frozen up to layer.0: this model cannot go on from hidden states alone; the frozen blocks are run in every step"
        in ours.log
    )
    assert ours.file("model/model.safetensors") == plain.file("model/model.safetensors")
