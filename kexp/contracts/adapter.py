"""An adapter of a backbone: small matrices that are trained in the place of the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from kexp.errors import Problem
from kexp.options import Section
from kexp.packages import missing


class Adapter(Section):
    """Low-rank matrices beside linear maps of the layers (LoRA, Hu et al. 2022), by the package peft.

    The weights of the embeddings and the layers stay as they are; the matrices and the head are trained.
    """

    use: Literal["lora"] = Field(description="Kind of the adapter.")
    r: PositiveInt = Field(8, description="Rank of the matrices.")
    alpha: float = Field(16, gt=0, description="The matrices' product is multiplied by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the matrices.")
    target: Literal["attention", "all-linear"] | tuple[str, ...] = Field(
        "attention", description="Linear maps of the layers that get matrices; or names of modules, as a list."
    )
    rslora: bool = Field(False, description="Divide alpha by the root of r (rank-stabilised LoRA).")
    dora: bool = Field(
        False, description="Train the length of each weight's columns apart from their direction (DoRA)."
    )
    base: Literal["fp32", "bf16"] = Field(
        "fp32", description="Type in which the linear maps of the layers are kept; bf16 needs half of the memory."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield that peft is not installed, and an empty list of modules."""
        yield from missing("peft", "kexp[lora]")
        if not self.target:
            yield Problem("target", "names no module", 'for example target = ["query", "value"]')


def _table(given: Any) -> Any:
    return {"use": given} if isinstance(given, str) else given


AnyAdapter = Annotated[Adapter, BeforeValidator(_table)]
"""A field that holds an adapter: a table, or the name of one with its own options."""
