"""Tables of pandas in a spec that is given in Python: each is stored as a file, which the spec then names."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from kexp.atomic_files import replacing
from kexp.errors import DataError
from kexp.settings import cache_folder

FRAMES = "frames"
"""Folder of the cache."""


def is_frame(value: object) -> bool:
    """Return whether a value is a table of pandas, without importing pandas."""
    return hasattr(value, "to_parquet") and hasattr(value, "columns")


def store_frame(frame: Any, place: str) -> Path:
    """Store a table as a Parquet file in the cache folder, without its index, and return the file's path.

    The file is named by a digest of its bytes: equal tables have one file, and a changed one has another, so that the
    spec of a run folder names the rows that were read. Raises ``DataError`` that names the ``place`` in the spec for
    columns that Parquet cannot hold.
    """
    file = io.BytesIO()
    try:
        frame.rename(columns=str).to_parquet(file, index=False)
    # pandas and pyarrow raise many kinds of errors for columns of mixed types.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{place}: the table cannot be stored as Parquet: {reason}") from error
    content = file.getvalue()
    path = cache_folder() / FRAMES / f"{hashlib.sha256(content).hexdigest()[:32]}.parquet"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)
    return path
