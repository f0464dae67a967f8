"""The published folder: weights, tokenizer, configuration, the spec and the card, checked and written whole or not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.atomic_files import replacing_folder
from kexp.errors import KexpError, reason_and_remedy
from kexp.inference.loading import LoadOptions, load_places
from kexp.inference.trained_model import Member
from kexp.model_files import CALIBRATION, DECISIONS, TASK, own_code, read_object, write_checksums
from kexp.publish.card import card
from kexp.publish.check import compare, sentence
from kexp.publish.choose import Chosen
from kexp.publish.licences import inherited, refusal
from kexp.publish.public import is_path
from kexp.publish.record import Record
from kexp.spec import toml

TAKEN = re.compile(
    r"config\.json|(tokenizer(_config)?|special_tokens_map|added_tokens|vocab)\.json|vocab\.txt|merges\.txt"
    r"|[\w.-]+\.(spm|model)|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|"
    + "|".join(map(re.escape, (CALIBRATION, DECISIONS, TASK)))
)
"""Names of a model's files that are published; whatever else lies beside them is not."""
LEFT_OUT = ("_name_or_path", "name_or_path", "is_local", "local_files_only", "cache_dir")
"""Keys of a configuration that say where a model was loaded from."""
SPEC, CARD = "spec.toml", "README.md"


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is published: the licence that the user states, and whether what forbids it is passed over."""

    licence: str | None = None
    despite_licence: bool = False
    onnx: bool = False
    allow_local_code: bool = False
    trust_remote_code: bool = False


def write_folder(
    chosen: Chosen, output: Path, name: str, options: Options, *, force: bool, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Write a model with its card into a new folder, and return what is told of it.

    ``name`` is OWNER/NAME on the hub, or that of the folder; the card has it.
    Raises ``KexpError`` where a licence forbids it, and ``RunFailed`` where transformers loads another model from the
    folder than kexp from the run; then, as after any error, nothing is left.
    """
    check_free(output, force=force)
    record = Record.of(chosen)
    licences = record.licences()
    if (why := refusal(licences, options.licence)) and not options.despite_licence:
        raise KexpError(f"{chosen.place.name} is not published:\n  " + why.replace("\n", "\n  "))
    licence = options.licence or inherited(licences)
    loading = LoadOptions(
        "cpu", "fp32", allow_local_code=options.allow_local_code, trust_remote_code=options.trust_remote_code
    )
    member = load_places([chosen.place], loading).members[0]
    try:
        with replacing_folder(output) as part:
            _copy(member, part)
            (part / SPEC).write_text(toml.dumps(record.spec), "utf-8")
            if code := [path.name for path in sorted(part.glob("*.py"))]:
                progress(f"the model's own Python code is published as it is: {', '.join(code)}")
            progress("comparing what transformers loads from it with the run")
            check = compare(member, part, trusted=options.trust_remote_code)
            if options.onnx:
                _add_onnx(chosen, part / "onnx", options, progress)
            text = card(record, member, name=name, licence=licence, code=code, onnx=options.onnx, check=sentence(check))
            (part / CARD).write_text(text, "utf-8")
            write_checksums(part)
    except OSError as error:
        raise KexpError(f"--to {output}: cannot be written: {reason_and_remedy(error)}") from None
    return {"licence": licence, "run": chosen.place.name, "reason": chosen.reason, "check": check}


def check_free(output: Path, *, force: bool) -> None:
    """Refuse a folder that is there already, unless it is a published one and ``force`` replaces it."""
    if not (output.exists() or output.is_symlink()):
        return
    published = (output / CARD).is_file() and (output / SPEC).is_file() and (output / "config.json").is_file()
    if not published:
        raise KexpError(f"--to {output} exists already, and is no published model; choose another folder")
    if not force:
        raise KexpError(f"--to {output} exists already; --force replaces it")


def _copy(member: Member, part: Path) -> None:
    """Copy the files of a model; its configuration without what says where it was loaded from."""
    source = member.place.model
    code = bool(own_code(source))
    for path in sorted(source.iterdir()):
        if not (TAKEN.fullmatch(path.name) or (code and path.suffix == ".py")) or not path.is_file():
            continue
        if path.name in ("config.json", "tokenizer_config.json"):
            (part / path.name).write_text(
                json.dumps(dict(_public(read_object(path))), ensure_ascii=False, indent=2), "utf-8"
            )
        else:
            shutil.copyfile(path, part / path.name)
    if not any(part.glob("*.safetensors")):
        raise KexpError(f"{source} has no weights in safetensors, the only ones that are published")


def _public(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key not in LEFT_OUT and not (isinstance(value, str) and is_path(value)):
            yield key, value


def _add_onnx(chosen: Chosen, folder: Path, options: Options, progress: Callable[[str], None]) -> None:
    from kexp.inference.export import export

    export(
        chosen.place,
        folder,
        quantize=None,
        force=False,
        progress=progress,
        allow_local_code=options.allow_local_code,
        trust_remote_code=options.trust_remote_code,
    )
