"""What objectives compute over the rows of a batch, of which each process may have some."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Gathering(Protocol):
    """What is asked of the model: see ``kexp.contracts.Model``."""

    def gather(self, values: torch.Tensor, all_rows: int) -> torch.Tensor:
        """Return ``values``, one per row, of all processes, in the order of the ``all_rows`` rows of the batch."""


class SharedRows:
    """Base of batches whose rows several processes may share.

    With the loss L of all rows, process r returns a part with the value ``L_r`` and the gradient ``g_r`` such that
    ``sum_r L_r = L`` and ``sum_r g_r`` is the gradient of L. A mean of losses, one per row, has such parts (``mean``).
    Any other loss has them too: it is computed by every process from the values of all rows (``gather``), of which the
    gradient goes to its own.
    """

    __slots__ = ()

    all_rows: int | None

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return what these rows add to the mean over the batch, from one value per row: the mean for one process."""
        return values.mean() if self.all_rows is None else values.sum() / self.all_rows

    def gather(self, model: Gathering, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return ``values``, each of shape (rows, ...), of the rows of all processes, in the order of the batch.

        Gradients go to the values of this process alone. Where one process trains they are ``values``. Every process
        has to call it equally often; several values cost one exchange.
        """
        import torch

        if self.all_rows is None:
            return values
        # float64 holds fp32 and the numbers of labels and rows exactly.
        dtype = values[0].dtype if len({value.dtype for value in values}) == 1 else torch.float64
        widths = [math.prod(value.shape[1:]) for value in values]
        columns = [value.to(dtype).reshape(len(value), width) for value, width in zip(values, widths, strict=True)]
        table = model.gather(torch.cat(columns, 1), self.all_rows)
        found = [
            part.reshape(self.all_rows, *value.shape[1:]).to(value.dtype)
            for part, value in zip(torch.split(table, widths, 1), values, strict=True)
        ]
        return tuple(
            all_values if value.requires_grad else all_values.detach()
            for all_values, value in zip(found, values, strict=True)
        )
