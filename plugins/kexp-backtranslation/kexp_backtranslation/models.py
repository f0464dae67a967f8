"""Where a translation model comes from, and a fingerprint of what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from kexp.errors import KexpError, Problem
from kexp.hub import explain_missing, prepare_offline
from kexp.options import LocalPath, Section
from kexp.pretrained import folder_problems

OTHER_FRAMEWORKS = ("*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.npz", "*.tflite", "*/*")


class ModelSource(Section):
    """A sequence-to-sequence model: a folder on this machine, or a repository of the Hugging Face hub."""

    path: LocalPath | None = Field(None, description="Local Hugging Face folder with config, weights and tokenizer.")
    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$", description="Repository on the Hugging Face hub.")
    revision: str | None = Field(None, description="Commit, tag or branch of the repository.")

    def problems(self) -> Iterable[Problem]:
        """Yield two sources or none, and a folder that cannot be a model."""
        if (self.path is None) == (self.hub is None):
            finding = "names no model" if self.path is None else "gives both path and hub"
            yield Problem("", finding, 'give a folder with path = "...", or a repository with hub = "OWNER/NAME"')
        if self.revision is not None and self.hub is None:
            yield Problem("revision", "only a repository of the hub has revisions", "remove it")
        if self.path is not None:
            yield from (Problem("path", message, hint) for message, hint in folder_problems(self.path))

    def warnings(self) -> Iterable[Problem]:
        """Yield a repository that may change under the spec."""
        if self.hub is not None and self.revision is None:
            yield Problem("revision", f"{self.hub} is not pinned", "give the commit, so that the model stays the same")

    @property
    def name(self) -> str:
        """The folder or the repository, for messages."""
        return str(self.path or self.hub)

    def folder(self) -> Path:
        """Return the folder with the model, downloading it first if need be; raises ``KexpError`` with the reason."""
        if self.path is not None:
            return self.path
        if self.hub is None:
            raise KexpError("translator: no model is named; give a folder with model.path or a repository with hub")
        prepare_offline(self.hub)
        from huggingface_hub import snapshot_download

        try:
            files = snapshot_download(self.hub, revision=self.revision, ignore_patterns=self._needless())
        # Network, permissions, disk, unknown names: the hub's library has an exception for each.
        except Exception as error:
            raise KexpError(explain_missing("translator", self.hub, error)) from error
        return Path(files)

    def _needless(self) -> list[str]:
        """Return patterns of the files that are not needed: of two formats of the weights, the pickled one."""
        import huggingface_hub.constants

        if huggingface_hub.constants.HF_HUB_OFFLINE or self.hub is None:
            return list(OTHER_FRAMEWORKS)
        names = huggingface_hub.HfApi().list_repo_files(self.hub, revision=self.revision)
        pickled = ["*.bin"] if any(name.endswith(".safetensors") for name in names) else []
        return [*OTHER_FRAMEWORKS, *pickled]
