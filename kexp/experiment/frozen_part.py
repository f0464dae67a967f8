"""The frozen blocks of a run's model: what they make of rows, and a digest of everything that this depends on."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import kexp
from kexp import tensor_files
from kexp.data.encoding import Encoded
from kexp.data.stored_hidden_states import TOKENS
from kexp.devices import Hardware
from kexp.experiment.assemble import AssembledRun
from kexp.model.blocks import find_blocks
from kexp.model.encoder_config import encoder_config
from kexp.model.token_rows import TokenRows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FrozenPart:
    """The first ``layers`` layers of a run's model and the embeddings, which are the ``blocks`` of these names."""

    assembled: AssembledRun
    layers: int
    blocks: Sequence[str]

    @property
    def first_tokens(self) -> bool:
        """Whether no more than a head is left, which reads first tokens alone."""
        return self.layers == len(find_blocks(self.assembled.model).names) - 2

    def above(self, layers: int) -> FrozenPart:
        """Return the part that goes on from the hidden states of ``layers`` layers where rows have them."""
        classifier = replace(self.assembled.classifier, known_layers=layers)
        return replace(self, assembled=replace(self.assembled, classifier=classifier))

    def hidden(self, encoded: Encoded, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return what the blocks make of some rows."""
        classifier = self.assembled.classifier
        tokens = TokenRows.of(self.assembled.collator(encoded, rows), classifier.hardware.device)
        return classifier.hidden(tokens, self.layers)

    def digest(self) -> str:
        """Return a digest of the weights of the blocks, the kind of device, the precision, and the versions."""
        import torch
        import transformers

        model = self.assembled.model
        block_of = find_blocks(model).block_of
        content = {
            "model": f"{type(model).__module__}.{type(model).__qualname__}",
            # Frozen blocks have no dropout.
            "config": {name: value for name, value in encoder_config(model).items() if "dropout" not in name},
            "layers": self.layers,
            "token types": self.assembled.collator.token_types,
            "tokens of a batch": TOKENS,
            "hardware": _kind(self.assembled.classifier.hardware),
            "compiled": self.assembled.spec.training.compile,
            "versions": [kexp.__version__, torch.__version__, transformers.__version__],
        }
        weights = {
            name: values.detach().cpu().contiguous()
            for name, values in model.state_dict().items()
            if block_of[name.rpartition(".")[0]] in self.blocks
        }
        return tensor_files.tensor_digest(json.dumps(content, sort_keys=True, default=str), weights)

    def key(self, encoded: Encoded, digest: str) -> str:
        """Return a digest of some rows and of what ``digest`` returned."""
        import torch

        rows = {name: torch.from_numpy(array) for name, array in encoded.arrays().items()}
        return tensor_files.tensor_digest(digest, rows)[:40]


def _kind(hardware: Hardware) -> list[object]:
    """Name all of a machine that the last bits of a product depend on."""
    import torch

    kind = [hardware.device.type, hardware.precision, hardware.tf32]
    if hardware.device.type == "cuda":
        return [*kind, torch.cuda.get_device_name(hardware.device), torch.version.cuda]
    return [*kind, platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
