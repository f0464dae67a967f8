"""What precision reaches and what it leaves alone, and what a run records of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from support import kexp, tiny_spec
from torch.overrides import TorchFunctionMode

from kexp.builtin.objectives import OBJECTIVES
from kexp.contracts import ObjectiveOptions
from kexp.devices import Hardware, choose
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.report.run_page import facts
from kexp.testing.objective_steps import StepRows, backward, build

Write = Callable[..., Path]
SLOW = "this processor does not multiply bf16 natively, which can be many times slower than fp32"
BF16 = tiny_spec("seeds = [1]", epochs=1, precision='"bf16"', device='"cpu"')


class Losses(TorchFunctionMode):
    """Records the types of what is normalised and compared outside the model, by the name of the function."""

    NAMES = (
        "softmax", "log_softmax", "cross_entropy", "logsumexp", "logaddexp", "exp", "log", "nll_loss", "kl_div",
        "binary_cross_entropy_with_logits", "logsigmoid", "pow", "abs", "huber_loss",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, set[torch.dtype]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in self.NAMES:
            tensors = [value for value in args if isinstance(value, torch.Tensor) and value.is_floating_point()]
            self.found.setdefault(name, set()).update(tensor.dtype for tensor in tensors)
            assert not torch.is_autocast_enabled("cpu"), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_targets_softmax_and_divergences_are_fp32_where_the_model_is_bf16(name: str) -> None:
    options: ObjectiveOptions = OBJECTIVES[name]()
    rows = StepRows(options)
    in_bf16 = cast(Classifier, replace(cast(Classifier, rows.model), hardware=choose("cpu", "bf16")))
    rows.model = in_bf16
    seen: list[torch.dtype] = []
    rows.module.get_submodule("bert.encoder.layer.0.intermediate").register_forward_hook(
        lambda module, given, output: seen.append(output.dtype)
    )
    with Losses() as losses:
        found = rows.step(build(options), 1)
    assert set(seen) == {torch.bfloat16}
    assert losses.found
    assert set().union(*losses.found.values()) == {torch.float32}
    assert found.loss.dtype == torch.float32
    assert {log.dtype for log in found.logs.values() if log.is_floating_point()} <= {torch.float32}
    backward(found)
    assert {parameter.grad.dtype for parameter in rows.module.parameters() if parameter.grad is not None} == {
        torch.float32
    }
    targets = rows.model.target_logits(rows.batch.inputs)
    assert targets.dtype == rows.model.embed(rows.batch.inputs).dtype == torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_bf16_on_a_processor_without_it_is_warned_of_by_every_command(
    native: bool, reviews: Path, write_spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native}, raising=False)
    spec = write_spec(BF16.format(data=reviews))
    checked = kexp("check", spec, "--json")
    assert checked.exit_code == 0, checked.stderr
    warnings = json.loads(checked.stdout)["warnings"]
    expected = [] if native else [{"path": "training.precision", "message": SLOW, "hint": 'use "fp32" or "auto"'}]
    assert [{key: warning[key] for key in ("path", "message", "hint")} for warning in warnings] == expected
    ran = kexp("run", spec, "--runs-dir", tmp_path / "runs")
    assert ran.exit_code == 0, ran.stderr
    assert (SLOW in " ".join(ran.stderr.split())) is not native
    (path,) = tmp_path.glob("runs/*/*/*/seed-1/result.json")
    result = json.loads(path.read_text("utf-8"))
    assert (result["precision"], result["tf32"]) == ("bf16", False)
    predicted = kexp("predict", path.parent, "최고", "--precision", "bf16", "--device", "cpu")
    assert predicted.exit_code == 0, predicted.stderr
    assert (SLOW in " ".join(predicted.stderr.split())) is not native


def test_every_pass_of_a_run_is_made_with_its_matrix_products(
    reviews: Path, write_spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training, validation and test: the passes of a run must not differ in what they round to."""
    asked: list[bool] = []
    seen: list[tuple[bool, bool]] = []

    @contextmanager
    def products(hardware: Hardware) -> Iterator[None]:
        asked.append(True)
        yield
        asked.pop()

    call = Classifier.__call__

    def recorded(classifier: Classifier, rows: TokenRows) -> torch.Tensor:
        seen.append((classifier.module.training, bool(asked)))
        return call(classifier, rows)

    monkeypatch.setattr(Hardware, "matrix_products", products)
    monkeypatch.setattr(Classifier, "__call__", recorded)
    spec = write_spec(tiny_spec("seeds = [1, 2]", epochs=1).format(data=reviews))
    assert kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet").exit_code == 0
    assert set(seen) == {(True, True), (False, True)}
    assert asked == []


def test_report_says_that_matrix_products_used_tf32() -> None:
    assert facts({"precision": "fp32", "tf32": True})["precision"] == "fp32, with matrix products in TF32"
    assert facts({"precision": "fp32", "tf32": False})["precision"] == "fp32"
    assert facts({"precision": "bf16"})["precision"] == "bf16"
