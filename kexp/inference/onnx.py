"""A classifier as an ONNX graph, made by PyTorch's exporter and run by onnxruntime."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexp.errors import KexpError
from kexp.model.last_token import logits_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

OPSET = 20
"""The first with Gelu as one operator; onnxruntime runs it since 1.17."""
LARGEST_FILE = 1_800_000_000
"""A protobuf file ends at 2 GiB; the weights of a larger model go into a file of their own."""
LOGITS, PREDICTIONS = ("logits",), "predictions"
"""Outputs of a graph."""
NEEDED = ("onnx", "onnxruntime", "onnxscript")


def need_packages() -> None:
    """Raise ``KexpError`` without the packages that only exporting needs."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise KexpError(f"kexp export needs {', '.join(missing)}; pip install 'kexp[onnx]'")


Meaning = Callable[["torch.Tensor"], "torch.Tensor | None"]
"""From logits to predictions, as ``TaskOptions.graph_predictions``."""


def write_graph(
    path: Path,
    module: PreTrainedModel,
    names: tuple[str, ...],
    max_length: int,
    temperature: float = 1.0,
    meaning: Meaning = lambda logits: None,
) -> None:
    """Write the model with inputs of any number of rows and any length; its logits are divided by ``temperature``.

    The graph has a second output, predictions, unless ``meaning`` returns None. Raises ``KexpError`` where PyTorch
    cannot export it.
    """
    import torch

    labels: int = module.config.num_labels  # type: ignore[assignment]
    outputs = LOGITS if meaning(torch.zeros(1, labels)) is None else (*LOGITS, PREDICTIONS)
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens", max=max_length)
    # Different sizes above 1: the exporter treats equal sizes as the same dimension.
    example = torch.ones((3, min(7, max_length)), dtype=torch.int64)
    size = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    with _quiet():
        try:
            torch.onnx.export(
                _graph_of(module, names, temperature, meaning if len(outputs) > 1 else None),
                tuple(example.clone() for _ in names),
                path,
                input_names=list(names),
                output_names=list(outputs),
                dynamic_shapes={"inputs": tuple({0: rows, 1: tokens} for _ in names)},
                opset_version=OPSET,
                # The exporter by tracing, the default before PyTorch 2.9, is no longer maintained.
                dynamo=True,
                external_data=size > LARGEST_FILE,
                verbose=False,
            )
        # The disk is not the model's.
        except OSError:
            raise
        # The model's own code can raise anything.
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise KexpError(f"{module.config.model_type} cannot be exported by PyTorch: {reason}") from error


def _graph_of(
    module: PreTrainedModel, names: tuple[str, ...], temperature: float, meaning: Meaning | None
) -> torch.nn.Module:
    import torch

    class Graph(torch.nn.Module):
        """The model as a function from tensors to tensors, as an ONNX graph needs it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, *inputs: torch.Tensor) -> Any:
            logits = logits_of(self.model, dict(zip(names, inputs, strict=True)))
            logits = logits if temperature == 1 else logits / temperature
            return logits if meaning is None else (logits, meaning(logits))

    return Graph().eval()


def add_metadata(path: Path, about: Mapping[str, Any]) -> None:
    """Write JSON by name into the metadata of a graph, where onnxruntime finds it (``custom_metadata_map``)."""
    import onnx

    # Without weights that lie in a file of their own, which stays as it is.
    model = onnx.load(path, load_external_data=False)
    onnx.helper.set_model_props(model, {name: json.dumps(value, ensure_ascii=False) for name, value in about.items()})
    onnx.save(model, path)


def quantize(path: Path, into: Path) -> None:
    """Write the graph with weights in int8; activations are quantized while it runs."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        model = onnx.load(path)
        # The quantizer transposes weights under their old names, and the recorded shapes would no longer fit.
        del model.graph.value_info[:]
        quantize_dynamic(model, into, weight_type=QuantType.QInt8, per_channel=True)


class Session:
    """A graph that onnxruntime runs on the CPU."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
        """Return logits of shape (rows, outputs), and predictions of shape (rows, names) where the graph has them."""
        names = [output.name for output in self.session.get_outputs()]
        found = self.session.run(names, dict(inputs))
        return {name: values.astype(np.float64) for name, values in zip(names, found, strict=True)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide messages on other models (torchvision is not installed) and on future versions."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
