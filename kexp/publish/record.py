"""What is known of the run whose model is published: the files of its run folder, without what is not for everyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp.catalog import load_catalog
from kexp.errors import KexpError
from kexp.inference.saved_spec import read_table
from kexp.publish.choose import Chosen
from kexp.publish.licences import Licence
from kexp.publish.public import is_path, public_spec
from kexp.report.findings import findings
from kexp.report.stored import read_environment, read_summary

Json = Mapping[str, Any]

FRESH = "tiny"
"""The backbone of kexp that has no published weights: fresh ones, and a vocabulary out of the texts of train."""


@dataclass(frozen=True, slots=True)
class Record:
    """The objects of ``result.json``, of the variant in ``summary.json``, of ``environment.json``, and of its spec.

    ``spec`` is public (see ``public_spec``). ``variant`` is empty where the experiment has no summary yet. ``findings``
    are the sentences on what stands out in the variant.
    """

    chosen: Chosen
    result: Json
    variant: Json
    environment: Json
    spec: Json
    findings: Sequence[str]

    @classmethod
    def of(cls, chosen: Chosen) -> Record:
        """Read the files of a run folder; a summary or an environment that is not there is empty."""
        folder = chosen.folder
        summary = read_summary(folder / "summary.json") if (folder / "summary.json").is_file() else {}
        path, name = folder / "environment.json", chosen.result["variant"]
        # Summaries of earlier versions have none.
        found = summary["findings"] if "findings" in summary else findings(folder, summary) if summary else []
        return cls(
            chosen,
            chosen.result,
            summary.get("variants", {}).get(name, {}),
            read_environment(path) if path.is_file() else {},
            public_spec(read_table(chosen.place)),
            [one["text"] for one in found if one["variant"] == name or one["id"] == "tiny_validation"],
        )

    @property
    def data(self) -> Json:
        """The record of the variant's data: rows, labels, what was dropped."""
        found: Json = self.variant.get("data", {})
        return found

    @property
    def dataset(self) -> dict[str, str]:
        """Name, hub id, revision, licence and homepage of the data; empty where they are not known."""
        spec, stated = self.spec["dataset"], self.result.get("dataset") or self.data.get("dataset") or {}
        component = _class_of("dataset", spec.get("use", ""))
        known = {
            "use": spec.get("use"),
            "id": spec.get("id"),
            "revision": spec.get("revision"),
            # Runs of earlier versions did not record them.
            "licence": stated.get("licence") or getattr(component, "licence", ""),
            "homepage": stated.get("homepage") or getattr(component, "homepage", ""),
        }
        return {name: str(value or "") for name, value in known.items()}

    @property
    def files(self) -> list[str]:
        """The names of the files that the rows were read from, where the spec names any."""
        named = (self.spec["dataset"].get(name) for name in ("path", "train", "validation", "test", "unlabelled"))
        return [str(name) for name in named if isinstance(name, str)]

    @property
    def fresh(self) -> bool:
        """Whether the weights were random before training, and the vocabulary made from the texts."""
        return self.spec["backbone"].get("use") == FRESH and not self.weights["source"]

    @property
    def weights(self) -> dict[str, str]:
        """Name, source, revision and licence of the weights before training; empty where they are not known."""
        spec, stated = self.spec["backbone"], self.result.get("backbone") or {}
        component = _class_of("backbone", spec.get("use", ""))
        source = stated.get("source") or spec.get("id") or spec.get("path") or ""
        known = {
            "use": spec.get("use"),
            "source": "" if is_path(source) else source,
            "folder": spec.get("path", "") if is_path(source) else "",
            "revision": stated.get("revision") or spec.get("revision"),
            "licence": stated.get("licence") or getattr(component, "licence", ""),
        }
        return {name: str(value or "") for name, value in known.items()}

    def licences(self) -> list[Licence]:
        """Return the licences of all that the model was made from."""
        dataset, weights = self.dataset, self.weights
        data = Licence(f"the data ({dataset['id'] or dataset['use']})", dataset["licence"])
        if self.fresh:
            return [data]
        name = weights["source"] or weights["folder"] or weights["use"]
        return [data, Licence(f"the weights ({name})", weights["licence"])]


def _class_of(kind: str, name: str) -> Any:
    """Return the class of an installed component; None where its package is not."""
    try:
        return load_catalog().find(kind, name).options
    except KexpError:
        return None
