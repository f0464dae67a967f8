"""A synthetic dialect corpus that needs no download, in the shape of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kexp.contracts import DatasetContext, DatasetOptions
from kexp.errors import DataError
from kexp_korean.schemes import SCHEME_DESCRIPTION, Pair, Rows, Scheme, labels_of, regions_of

if TYPE_CHECKING:
    from datasets import Dataset

SOURCE = "dialect-sample"
# Utterances that may be composed for one pair that differs before the rate of markers counts as too low.
PATIENCE = 50


class DialectSample(DatasetOptions):
    """Synthetic utterances in standard and dialect form: composed by rules, for trying things out without a corpus.

    Only pairs whose forms differ are used. The standard rows come evenly from all regions' pairs; rows of one
    recording share a group, so that the two forms of a pair are never divided between splits.
    """

    licence: ClassVar[str] = "Apache-2.0, as this package: the sentences are synthetic"

    scheme: Scheme = Field("two", description=SCHEME_DESCRIPTION)
    rows: int = Field(8000, ge=10, description="Rows in all, spread evenly over the labels.")
    seed: int = Field(0, ge=0, description="Seed of the sentences.")
    marker_rate: float = Field(
        0.8, gt=0, le=1, description="Probability that a possible marker of the region is realised in a dialect form."
    )

    def label_count(self) -> int | None:
        """Return the number of labels of the scheme."""
        return len(labels_of(self.scheme))

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Compose the rows; the same options give the same rows."""
        rows = Rows(self.scheme)
        standard, dialect = self._shares()
        for region, of_standard, of_dialect in zip(regions_of(self.scheme), standard, dialect, strict=True):
            count = max(of_standard, of_dialect)
            for number, pair in enumerate(self._pairs(region, count)):
                # Spread over all of the region's recordings, not taken from the first ones.
                if _chosen(number, of_standard, count):
                    rows.add_standard(pair)
                if _chosen(number, of_dialect, count):
                    rows.add_dialect(pair)
        return {"train": rows.dataset(SOURCE)}

    def _shares(self) -> tuple[list[int], list[int]]:
        """Return how many standard and how many dialect rows each region gives."""
        regions = regions_of(self.scheme)
        per_label = _evenly(self.rows, len(labels_of(self.scheme)))
        if self.scheme == "region":
            return [0] * len(regions), per_label
        dialect = per_label[1:] if self.scheme == "four" else _evenly(per_label[1], len(regions))
        return _evenly(per_label[0], len(regions)), dialect

    def _pairs(self, region: str, count: int) -> list[Pair]:
        """Return the first ``count`` pairs of a region whose forms differ."""
        from kexp_korean.dialect_grammar import utterances

        composed = count
        while composed <= count * PATIENCE:
            found = utterances(region, composed, seed=self.seed, marker_rate=self.marker_rate)
            pairs = [
                Pair(one.standard, one.dialect, region, one.recording) for one in found if one.standard != one.dialect
            ]
            if len(pairs) >= count:
                return pairs[:count]
            composed = composed * count // max(len(pairs), 1) + 16
        raise DataError(
            f"{SOURCE}: of {len(found)} utterances of {region} only {len(pairs)} differ from the standard, {count} are "
            f"wanted; raise marker_rate = {self.marker_rate:g}"
        )


def _evenly(total: int, parts: int) -> list[int]:
    """Divide ``total`` into whole parts that differ by at most one, the larger first."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def _chosen(number: int, chosen: int, count: int) -> bool:
    """Return whether row ``number`` of ``count`` is among ``chosen`` rows at even distances."""
    return (number + 1) * chosen // count > number * chosen // count
