"""The section ``[execution]`` of a spec."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from kexp.contracts import AnyExecutor
from kexp.options import Section


class Execution(Section):
    """How many runs of an experiment train at once, and where: no result depends on it."""

    jobs: PositiveInt = Field(1, description="Runs at once.")
    executor: AnyExecutor = Field("local", description="Where runs train.")  # type: ignore[assignment]
