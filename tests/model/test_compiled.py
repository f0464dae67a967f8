"""Compiled parts: which they are, that they compute the same, and what is said where nothing can be compiled."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
import torch._inductor.config
from safetensors import safe_open
from support import kexp, tiny_spec
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PretrainedConfig,
    RobertaConfig,
)

from kexp.devices import choose
from kexp.model.compiled import OPTIONS, compile_parts, compiled_parts, need_compiler
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.report.run_page import facts
from kexp.trained import load

# What PyTorch's compiler warns of while it uses PyTorch, some of which it hides itself, would be errors here.
pytestmark = pytest.mark.filterwarnings("ignore")

Write = Callable[..., Path]
SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
MODERN = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
DISTIL = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2}
BERT_PARTS = {"attention.output", "intermediate", "output"}
CASES: dict[str, tuple[PretrainedConfig, str, set[str]]] = {
    "BERT": (BertConfig(**SIZES), "bert.encoder.layer", BERT_PARTS),
    "RoBERTa": (RobertaConfig(**SIZES | {"pad_token_id": 1}), "roberta.encoder.layer", BERT_PARTS),
    "ELECTRA": (ElectraConfig(**SIZES, embedding_size=8), "electra.encoder.layer", BERT_PARTS),
    "DistilBERT": (
        DistilBertConfig(vocab_size=40, max_position_embeddings=40, **DISTIL), "distilbert.transformer.layer", {"ffn"},
    ),
    "ModernBERT": (ModernBertConfig(**SIZES, **MODERN), "model.layers", {"mlp"}),
    "DeBERTa-v2": (DebertaV2Config(**SIZES, relative_attention=True), "deberta.encoder.layer", BERT_PARTS),
    # Padded: whole layers.
    "BERT decoder": (BertConfig(**SIZES, is_decoder=True), "bert.encoder.layer", {""}),
    "ALBERT": (
        AlbertConfig(**SIZES, embedding_size=8, num_hidden_groups=1), "albert.encoder.albert_layer_groups", {""},
    ),
}  # fmt: skip


class OwnBert(BertForSequenceClassification):
    """A model whose code is not that of transformers: it is run padded."""


def classifier_of(config: PretrainedConfig, kind: Any = None, precision: str = "fp32") -> Classifier:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config) if kind is None else kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return Classifier(model.train(), choose("cpu", precision), config.pad_token_id)


def rows(*lengths: int) -> TokenRows:
    ids = torch.randint(5, 40, (sum(lengths),), generator=torch.Generator().manual_seed(len(lengths)))
    return TokenRows(ids, np.array(lengths), None)


def calls(classifier: Classifier) -> set[str]:
    """Return the compiled parts that a pass with gradient calls."""
    called = set()
    for name, part in compiled_parts(classifier).items():
        part.register_forward_hook(lambda *given, name=name: called.add(name))
    classifier(rows(3, 7, 5)).sum().backward()
    return called


@pytest.mark.parametrize("name", CASES)
def test_parts_are_those_that_a_pass_calls(name: str) -> None:
    config, layers, expected = CASES[name]
    classifier = classifier_of(config)
    count = 1 if name == "ALBERT" else 2
    assert set(compiled_parts(classifier)) == {
        f"{layers}.{number}.{part}".rstrip(".") for number in range(count) for part in expected
    }
    # What hooks see is what is called; they would let the model be padded, so the way is chosen before.
    assert classifier.way.split(":")[0] == ("padded" if "" in expected else "flat")
    assert classifier.flat is None or "" not in expected
    assert calls(classifier) == set(compiled_parts(classifier))


def test_a_model_without_a_list_of_layers_is_compiled_as_a_whole() -> None:
    classifier = classifier_of(BertConfig(**SIZES | {"num_hidden_layers": 0}))
    assert list(compiled_parts(classifier)) == [""]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace as for compilation, but run what was traced as it is: no compiler is needed, and it takes a moment."""
    compile_call = torch.nn.Module.compile

    def traced_only(module: torch.nn.Module, *given: Any, options: Any, dynamic: bool) -> None:
        assert (options, dynamic) == (OPTIONS, True)
        compile_call(module, backend="aot_eager", dynamic=dynamic)

    monkeypatch.setattr(torch.nn.Module, "compile", traced_only)


def passed(
    classifier: Classifier, lengths: tuple[int, ...]
) -> tuple[torch.Tensor, dict[str, torch.Tensor | None], torch.Tensor]:
    """Return logits, gradients by name, and logits without dropout, of rows with these lengths."""
    torch.manual_seed(1)
    classifier.module.zero_grad()
    logits = classifier(rows(*lengths))
    logits.logsumexp(-1).sum().backward()
    gradients = {name: value.grad for name, value in classifier.module.named_parameters()}
    return logits.detach(), gradients, classifier.target_logits(rows(*lengths))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("kind", [None, OwnBert], ids=["flat", "padded"])
def test_logits_gradients_and_names_are_those_without(kind: Any) -> None:
    plain = classifier_of(BertConfig(**SIZES), kind)
    compiled = Classifier(copy.deepcopy(plain.module), plain.hardware, plain.pad_id)
    assert compiled.way == plain.way
    compile_parts(compiled)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for lengths in ((3, 7, 5), (9, 4), (6,)):
        logits, gradients, targets = passed(plain, lengths)
        others, other_gradients, other_targets = passed(compiled, lengths)
        torch.testing.assert_close(others, logits)
        torch.testing.assert_close(other_targets, targets)
        torch.testing.assert_close(other_gradients, gradients)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs
    assert list(compiled.module.state_dict()) == list(plain.module.state_dict())
    # A teacher is a copy of the model, which is not compiled, but computes the same.
    teacher = copy.deepcopy(compiled.module)
    torch.testing.assert_close(compiled.target_logits(rows(3, 7), teacher), compiled.target_logits(rows(3, 7)))


@contextmanager
def after_step_two() -> Iterator[Callable[[], bool]]:
    """Stand for a Ctrl-C."""
    asked = iter(range(1, 1_000_000))
    yield lambda: next(asked) >= 2


@pytest.mark.usefixtures("traced")
def test_a_run_is_recorded_as_compiled_and_resumed_and_its_model_is_as_any_other(
    reviews: Path, write_spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp.experiment.hardware.need_compiler", lambda device: None)
    spec = write_spec(tiny_spec("seeds = [1]", epochs=1, log_every=1).format(data=reviews))
    losses, digests = {}, {}
    for name, compiles in (("plain", "false"), ("compiled", "true"), ("resumed", "true")):
        command = ("run", spec, "--runs-dir", tmp_path / name, "--quiet", "--set", f"training.compile={compiles}")
        if name == "resumed":
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("kexp.experiment.train_and_test.graceful_stop", after_step_two)
                assert kexp(*command).exit_code == 130
            command = ("run", "--resume", next(tmp_path.glob("resumed/*/*")), "--quiet")
        ran = kexp(*command)
        assert ran.exit_code == 0, ran.stderr
        (run,) = tmp_path.glob(f"{name}/*/*/*/seed-1")
        result = json.loads((run / "result.json").read_text("utf-8"))
        assert result.get("compiled") == (None if name == "plain" else 3)
        assert facts(result).get("compiled modules") == (None if name == "plain" else "3")
        events = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
        losses[name] = [event["loss"] for event in events if event["event"] == "step"]
        weights = run / "model" / "model.safetensors"
        digests[name] = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert load(run, device="cpu").predict(["최고"]).shape == (1, 3)
        with safe_open(weights, "pt") as file:
            assert not [key for key in file.keys() if "_orig_mod" in key]  # noqa: SIM118
    assert losses["compiled"] == pytest.approx(losses["plain"], rel=1e-4)
    assert losses["resumed"] == losses["compiled"]
    assert digests["resumed"] == digests["compiled"]


@pytest.mark.parametrize("command", ["run", "tune"])
def test_without_a_compiler_nothing_is_begun(
    command: str, reviews: Path, write_spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_compiler.cache_clear()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    search = '[search]\nmetric = "validation.macro_f1"\ntrials = 1\n[search.space]\n"training.epochs" = {{low = 1, high = 2}}'
    spec = write_spec(tiny_spec("seeds = [1]", search, compile="true", device='"cpu"').format(data=reviews))
    with torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        refused = kexp(command, spec, "--runs-dir", tmp_path / "runs")
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.split())
    assert "training.compile: PyTorch cannot compile for cpu: InvalidCxxCompiler: No working C++ compiler" in said
    assert "install a C++ compiler such as g++, or set it to false" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_the_compiler_makes_computes_the_same(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout included, in steps, in evaluation and for a single row."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain = classifier_of(BertConfig(**SIZES), precision=precision)
    compiled = Classifier(copy.deepcopy(plain.module), plain.hardware, plain.pad_id)
    compile_parts(compiled)
    close = {"fp32": 1e-4, "bf16": 5e-2}[precision]
    for lengths in ((3, 7, 5), (9, 4), (6,)):
        found = []
        for classifier in (plain, compiled):
            logits, gradients, targets = passed(classifier, lengths)
            found.append([logits, targets, *(value for value in gradients.values() if value is not None)])
        for one, other in zip(*found, strict=True):
            assert float((one - other).abs().max()) <= close * max(float(one.abs().max()), 1e-2)
