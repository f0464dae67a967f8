"""A classifier as an ONNX graph, made by PyTorch's exporter and run by onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
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
NEEDED = ("onnx", "onnxruntime", "onnxscript")


def need_packages() -> None:
    """Raise ``KexpError`` without the packages that only exporting needs."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise KexpError(f"kexp export needs {', '.join(missing)}; pip install 'kexp[onnx]'")


def write_graph(
    path: Path, module: PreTrainedModel, names: tuple[str, ...], max_length: int, temperature: float = 1.0
) -> None:
    """Write the model with inputs of any number of rows and any length; its logits are divided by ``temperature``.

    Raises ``KexpError`` where PyTorch cannot export it.
    """
    import torch

    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens", max=max_length)
    # Different sizes above 1: the exporter treats equal sizes as the same dimension.
    example = torch.ones((3, min(7, max_length)), dtype=torch.int64)
    size = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    with _quiet():
        try:
            torch.onnx.export(
                _logits_of(module, names, temperature),
                tuple(example.clone() for _ in names),
                path,
                input_names=list(names),
                output_names=["logits"],
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


def _logits_of(module: PreTrainedModel, names: tuple[str, ...], temperature: float) -> torch.nn.Module:
    import torch

    class Logits(torch.nn.Module):
        """The model as a function from tensors to logits, as an ONNX graph needs it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            logits = logits_of(self.model, dict(zip(names, inputs, strict=True)))
            return logits if temperature == 1 else logits / temperature

    return Logits().eval()


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

    def probabilities(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return probabilities of shape (rows, labels)."""
        from scipy.special import softmax

        logits = self.session.run(["logits"], dict(inputs))[0].astype(np.float64)
        found: NDArray[np.float64] = softmax(logits, axis=1)
        return found


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
