"""Where Optuna keeps a study: a journal file by default, or whatever database several machines share."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.errors import KexpError
from kexp.redaction import mask_parts, masked_address

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

ATTEMPTS = 6
JOURNAL = "journal.log"
PATIENCE = 10.0
"""Seconds in which a proxy server has to answer."""


def open_storage(place: str, folder: Path) -> BaseStorage:
    """Open ``journal`` (a file in the folder), ``grpc://HOST:PORT`` (Optuna's proxy) or a database by its URL.

    Raises ``KexpError`` when it cannot be reached; the message never shows a password.
    """
    if place == "journal":
        # Not SQLite: processes that open a fresh file together fail, and it is slower.
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    if place.startswith("grpc://"):
        return _proxy(place)
    return _database(place)


def _proxy(place: str) -> BaseStorage:
    try:
        import grpc  # noqa: F401
        from optuna.storages import GrpcStorageProxy
    except ImportError:
        raise KexpError(
            f"search.storage: {masked_address(place)} needs the package grpcio; pip install 'kexp[grpc]'"
        ) from None
    host, _, port = place.removeprefix("grpc://").rstrip("/").rpartition(":")
    if not port.isdecimal():
        host, port = place.removeprefix("grpc://").rstrip("/"), ""
    storage = GrpcStorageProxy(host=host, port=int(port or 13000))
    try:
        storage.wait_server_ready(timeout=PATIENCE)
    except ConnectionError:
        raise KexpError(
            f"search.storage: {masked_address(place)} does not answer; start Optuna's proxy server there"
        ) from None
    return storage


def _database(place: str) -> BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

    shown = masked_address(place)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return RDBStorage(place, engine_kwargs={"pool_pre_ping": True})
        except (ArgumentError, NoSuchModuleError) as error:
            raise KexpError(f"search.storage: {shown} is no database URL: {mask_parts(str(error), place)}") from None
        except ImportError as error:
            cause = mask_parts(str(error), place)
            remedy = (
                "pip install 'kexp[postgresql]' for PostgreSQL, and name it postgresql+psycopg://USER@HOST/DATABASE"
            )
            raise KexpError(f"search.storage: the driver of {shown} is missing ({cause}); {remedy}") from None
        except SQLAlchemyError as error:
            # Processes that open an empty database together make its tables together; all but one have to try again.
            if attempt == ATTEMPTS:
                what = "cannot be reached" if isinstance(error, OperationalError) else "cannot be used"
                first = mask_parts(str(getattr(error, "orig", None) or error).splitlines()[0], place)
                raise KexpError(f"search.storage: {shown} {what}: {first}") from None
            time.sleep(random.uniform(0.1, 0.5) * attempt)
    raise AssertionError
