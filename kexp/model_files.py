"""The files of a Hugging Face model folder, looked at without loading the model: weights, own code, checksums."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kexp.errors import KexpError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files that hold or list the weights; transformers reads the first that is there."""
MODEL_FILES = (".json", ".safetensors", ".bin", ".spm", ".model", ".txt")
"""What makes a model what it is; read-me files and other frameworks' weights do not."""
CHECKSUMS = "checksums.json"
CALIBRATION = "calibration.json"
"""The temperature by which kexp divides the logits of a model; other libraries do not read it."""
DECISIONS = "decisions.json"
"""What kexp chose on validation for the decisions of a model, such as thresholds."""
TASK = "task.json"
"""The task of a model and the names that it predicts, where config.json does not say them."""
SETTABLE = ("model_max_length", "truncation_side", "padding_side")
"""Settings of a tokenizer that its owner may change: another text is then cut, but none is read as another."""
WRAPPERS = ("module.", "_orig_mod.")
"""What PyTorch's DataParallel and compile put before the names of weights."""
AGAIN = "download the model again"


class NotAnObject(ValueError):
    """JSON of another kind."""


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises ``ValueError`` for a damaged file or other JSON, ``OSError`` where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise NotAnObject("is not an object")
    return found


def weight_problems(folder: Path, layers: int | None) -> Iterator[tuple[str, str]]:
    """Yield (message, remedy) for what is wrong with the weights in a folder by their names alone.

    ``layers`` is how many layers the configuration states, None where it is not known.
    """
    if not any((folder / name).is_file() for name in WEIGHTS):
        yield f"{folder} has no weights ({WEIGHTS[0]})", "give a folder written by save_pretrained, or a download"
        return
    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        try:
            names |= stored_names(path)
        except ValueError as error:
            yield f"{path} is damaged: {error}", AGAIN
            return
    for index in (folder / name for name in WEIGHTS if name.endswith(".index.json")):
        if index.is_file():
            yield from _index_problems(index, names)
    wrapped = next((prefix for prefix in WRAPPERS if names and all(name.startswith(prefix) for name in names)), None)
    if wrapped is not None:
        remedy = "save the weights again under names without that prefix"
        yield f'{folder} has other weights than a model: its names begin with "{wrapped}"', remedy
    else:
        yield from _layer_problems(folder, names, layers)


def stored_names(path: Path) -> set[str]:
    """Return the names of the weights in a safetensors file; raises ``ValueError`` for a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            return set(weights.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from None


def _index_problems(index: Path, names: set[str]) -> Iterator[tuple[str, str]]:
    try:
        parts = read_object(index).get("weight_map")
    except (OSError, ValueError) as error:
        yield f"{index} cannot be read: {error}", AGAIN
        return
    if not isinstance(parts, dict) or not parts or not all(isinstance(part, str) for part in parts.values()):
        yield f"{index}: expected weight_map to be an object of names of files, found {_short(parts)}", AGAIN
        return
    missing = sorted(part for part in set(parts.values()) if not (index.parent / Path(part).name).is_file())
    if missing:
        yield f"{index.parent} lacks a part of the weights: {', '.join(missing)}", AGAIN
    elif lost := sorted(parts.keys() - names) if ".safetensors." in index.name else []:
        yield f"{index.parent} lacks weights that {index.name} lists: {', '.join(lost[:5])}", AGAIN


def _layer_problems(folder: Path, names: Iterable[str], layers: int | None) -> Iterator[tuple[str, str]]:
    """Yield layers that are missing or left over: the numbers in the names of some stack have to be 0, 1, ..."""
    stacks: dict[str, set[int]] = {}
    for name in names:
        if place := re.match(r"(.*?)\.(\d{1,6})\.", name):
            stacks.setdefault(place[1], set()).add(int(place[2]))
    whole = (len(stack) for stack in stacks.values() if stack == set(range(len(stack))))
    if layers is None or not stacks or layers in whole:
        return
    found = max(stacks.values(), key=len)
    numbers = ", ".join(map(str, sorted(found)))
    stated = f"config.json says {layers} layers, the weights have those of number {numbers}"
    yield f"{folder}: {stated}", "take config.json and the weights from one model"


def _short(value: object) -> str:
    return text if len(text := repr(value)) <= 40 else f"{text[:40]} ..."


def own_code(folder: Path) -> list[str]:
    """Return the files of Python code that a model asks transformers to run (``auto_map``)."""
    found: set[str] = set()
    for name in ("config.json", "tokenizer_config.json"):
        try:
            stated = read_object(folder / name).get("auto_map")
        except (OSError, ValueError):
            continue
        classes = stated.values() if isinstance(stated, dict) else stated if isinstance(stated, list) else [stated]
        for one in classes:
            several = one if isinstance(one, list) else [one]
            found |= {f"{cls.rpartition('.')[0]}.py" for cls in several if isinstance(cls, str)}
    return sorted(found)


def write_temperature(folder: Path, temperature: float, rows: int) -> None:
    """Write the temperature of a model beside it, and the number of validation rows that it was fitted on."""
    about = {"temperature": temperature, "fitted_on": "validation", "rows": rows}
    (folder / CALIBRATION).write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def read_temperature(folder: Path) -> float | None:
    """Return the temperature of a model, None where it has none; raises ``KexpError`` for a file without a number."""
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    try:
        temperature = read_object(path).get("temperature")
    except (OSError, ValueError) as error:
        raise KexpError(f"{path} cannot be read: {error}; copy the folder again") from None
    if (
        isinstance(temperature, bool)
        or not isinstance(temperature, int | float)
        or not 0 < temperature <= sys.float_info.max
    ):
        raise KexpError(f"{path}: expected temperature to be a number above 0, found {_short(temperature)}")
    return float(temperature)


def write_decisions(folder: Path, chosen: Mapping[str, Any]) -> None:
    """Write what was chosen for the decisions of a model beside it."""
    (folder / DECISIONS).write_text(json.dumps(dict(chosen), indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_decisions(folder: Path) -> dict[str, Any]:
    """Return what was chosen for the decisions of a model; raises ``KexpError`` for a file that cannot be read."""
    return _read_beside(folder / DECISIONS) or {}


def write_task(folder: Path, task: Mapping[str, Any], names: Sequence[str], package: str) -> None:
    """Write the table of the task of a model beside it, with the names that it predicts and the task's package."""
    about = {"task": dict(task), "names": list(names), "package": package}
    (folder / TASK).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_task(folder: Path) -> tuple[dict[str, Any], tuple[str, ...], str] | None:
    """Return the table of a model's task, the names that it predicts, and the task's package ("" where not known).

    None without ``task.json``; raises ``KexpError`` for a file that says something else.
    """
    path = folder / TASK
    about = _read_beside(path)
    if about is None:
        return None
    task, names, package = about.get("task"), about.get("names"), about.get("package", "")
    if not isinstance(task, dict) or not isinstance(task.get("use"), str) or not isinstance(package, str):
        raise KexpError(f"{path}: expected task to be an object with use, found {_short(task)}; copy the folder again")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise KexpError(f"{path}: expected names to be a list of texts, found {_short(names)}; copy the folder again")
    if len(set(names)) < len(names):
        raise KexpError(f"{path}: two names are the same: {', '.join(names)}; copy the folder again")
    return task, tuple(names), package


def _read_beside(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise KexpError(f"{path} cannot be read: {error}; copy the folder again") from None


def write_checksums(folder: Path) -> None:
    """Write SHA-256 sums of a model's files beside them, so that a file of another model is told from its own."""
    sums = {path.name: checksum(path) for path in sorted(folder.iterdir()) if _counts(path)}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=2) + "\n", "utf-8")


def missing_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (message, remedy) for files that a model was saved with and that are gone; without sums nothing."""
    missing = [name for name in _stored_sums(folder) if not (folder / name).is_file()]
    if missing:
        yield f"{folder} lacks {', '.join(missing)}, which the model was saved with", "copy the folder again"


def need_unchanged(folder: Path) -> None:
    """Raise ``KexpError`` for files that are not those with which a model was saved."""
    sums = _stored_sums(folder)
    changed = [name for name, value in sums.items() if checksum(folder / name) != value]
    if changed:
        remedy = f"copy the folder again, or remove {folder / CHECKSUMS} if you mean to change the model"
        raise KexpError(f"{folder}: {', '.join(changed)} is not what the model was saved with; {remedy}")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, of JSON without layout and without the settings that its owner may change."""
    if path.suffix == ".json":
        try:
            kept = {key: value for key, value in read_object(path).items() if key not in SETTABLE}
            return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
        except ValueError:
            pass
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _counts(path: Path) -> bool:
    return path.suffix in (*MODEL_FILES, ".py") and path.is_file() and path.name != CHECKSUMS


def _stored_sums(folder: Path) -> Mapping[str, str]:
    path = folder / CHECKSUMS
    if not path.is_file():
        return {}
    try:
        sums = read_object(path)
        if not all(isinstance(value, str) and Path(name).name == name for name, value in sums.items()):
            raise ValueError("expected an object of names of files and their sums")
    except (OSError, ValueError) as error:
        raise KexpError(f"{path} cannot be read: {error}; copy the folder again, or remove this file") from None
    return sums
