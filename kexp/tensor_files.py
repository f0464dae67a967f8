"""Values with tensors and arrays, each in one safetensors file that says what it was made from and has a checksum."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.atomic_files import replacing
from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch


Append = Callable[["torch.Tensor"], None]

_DTYPES = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16", "torch.float64": "F64"}
"""How safetensors names the types that hidden states have."""


class DamagedFile(KexpError):
    """A file is missing, or is not what was once written."""


class OtherOrigin(KexpError):
    """A file is whole, but was made from something else."""


def save(path: Path, value: Any, made_from: Mapping[str, str]) -> None:
    """Write dicts, lists and tuples of tensors, arrays, numbers, texts and None.

    ``made_from`` are digests by name of what the value depends on. Tensors stand in the file under their places in the
    value; the header has everything else as JSON. Raises ``KexpError`` for a value of another type, and ``OSError``.
    """
    tensors = _Tensors()
    content = json.dumps({"made from": dict(made_from), "value": tensors.encode(value, "value")})
    checksum = tensor_digest(content, tensors.named)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        # One text, since safetensors writes several in any order.
        _write(part, tensors.named, {"kexp": f"{checksum} {content}"})


@contextmanager
def saving_rows(path: Path, like: torch.Tensor, rows: int, made_from: Mapping[str, str]) -> Iterator[Append]:
    """Write a tensor of so many ``rows`` of the type and size of those of ``like`` that is never in memory as a whole.

    Yields a function that takes some rows after the other. The file is what ``save`` writes of the whole tensor.
    Raises ``OSError``.
    """
    import torch

    shape, name = [rows, *like.shape[1:]], "value"
    content = json.dumps({"made from": dict(made_from), "value": {"tensor": name}})
    digest = hashlib.sha256(content.encode())
    digest.update(_described(name, like.dtype, shape))

    def header() -> bytes:
        size = math.prod(shape) * like.element_size()
        tensor = {"dtype": _DTYPES[str(like.dtype)], "shape": shape, "data_offsets": [0, size]}
        metadata = {"kexp": f"{digest.hexdigest()} {content}"}
        text = json.dumps({"__metadata__": metadata, name: tensor}, separators=(",", ":")).encode()
        # What follows begins at a multiple of eight bytes.
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        file.write(header())

        def append(some: torch.Tensor) -> None:
            data = some.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            digest.update(data)
            file.write(data)

        yield append
        # The checksum, which has the same length, is known only now.
        file.seek(0)
        file.write(header())


def load(path: Path, made_from: Mapping[str, str], *, mapped: bool = False) -> Any:
    """Return what ``save`` wrote, with tensors on the CPU; ``mapped`` leaves them in the file until they are read.

    Raises ``DamagedFile`` when a bit has changed, and ``OtherOrigin`` when the value was made from something else.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise DamagedFile(f"{path} is missing")
    try:
        with safe_open(path, "pt") as file:
            checksum, _, text = file.metadata()["kexp"].partition(" ")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not mapped:
            # So that what is checked is what is used, whatever becomes of the file.
            tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        whole = tensor_digest(text, tensors) == checksum
        content = json.loads(text)
        value, origin = _decode(content["value"], tensors), content["made from"]
    # safetensors and JSON say many things about bytes that are not theirs, none of them for a user.
    except Exception as error:
        raise DamagedFile(f"{path} is damaged: {str(error) or type(error).__name__}") from error
    if not whole:
        raise DamagedFile(f"{path} is damaged: its contents do not match its checksum")
    different = [name for name in dict.fromkeys((*origin, *made_from)) if origin.get(name) != made_from.get(name)]
    if different:
        raise OtherOrigin(f"{path} was made from something else: {', '.join(different)} differ")
    return value


def _write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), path, metadata=metadata)
    # safetensors leaves files that nobody else can read.
    path.chmod(mode)


@dataclass(slots=True)
class _Tensors:
    """The tensors of a value by their names in the file; those that share their memory stand there once."""

    named: dict[str, torch.Tensor] = field(default_factory=dict)
    known: dict[object, str] = field(default_factory=dict)
    storages: set[int] = field(default_factory=set)

    def encode(self, value: Any, place: str) -> Any:
        """Return the value as JSON: objects have one key, which names what they stand for."""
        import numpy as np
        import torch

        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, torch.Tensor):
            return {"tensor": self._add(value, place)}
        if isinstance(value, np.ndarray):
            return {"array": self._add(torch.from_numpy(np.ascontiguousarray(value)), place)}
        if isinstance(value, Mapping):
            return {"dict": [[key, self.encode(item, f"{place}/{key}")] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            items = [self.encode(item, f"{place}/{number}") for number, item in enumerate(value)]
            return {"tuple": items} if isinstance(value, tuple) else items
        expected = "tensors, numbers, texts, and lists and dicts of these"
        raise KexpError(f"{place}: a value of type {type(value).__name__} cannot be saved; expected {expected}")

    def _add(self, tensor: torch.Tensor, place: str) -> str:
        tensor = tensor.detach()
        view = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device)
        if tensor.numel() and view in self.known:
            return self.known[view]
        name = place
        while name in self.named:
            name += "'"
        copied = tensor.cpu().contiguous()
        storage = copied.untyped_storage().data_ptr()
        # safetensors refuses tensors that share a part of their memory.
        self.named[name] = copied.clone() if storage in self.storages else copied
        self.storages.add(storage)
        self.known[view] = name
        return name


def _decode(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    if kind == "tuple":
        return tuple(_decode(item, tensors) for item in content)
    tensor = tensors[content]
    return tensor.numpy() if kind == "array" else tensor


def tensor_digest(content: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a text and of tensors on the CPU with their names, types and shapes."""
    import torch

    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(_described(name, tensor.dtype, tensor.shape))
        # An empty array of NumPy has strides with which torch views no bytes.
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _described(name: str, dtype: torch.dtype, shape: Sequence[int]) -> bytes:
    return f"\0{name} {dtype} {list(shape)}\0".encode()
