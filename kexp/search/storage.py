"""Where Optuna keeps a study: a journal file by default, or whatever database several machines share."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.errors import KexpError
from kexp.redaction import without_passwords

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
        raise KexpError(f"search.storage: {place} needs the package grpcio; pip install 'kexp[grpc]'") from None
    host, _, port = place.removeprefix("grpc://").rstrip("/").partition(":")
    storage = GrpcStorageProxy(host=host, port=int(port or 13000))
    try:
        storage.wait_server_ready(timeout=PATIENCE)
    except ConnectionError:
        raise KexpError(f"search.storage: {place} does not answer; is Optuna's proxy server running there?") from None
    return storage


def _database(place: str) -> BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return RDBStorage(place, engine_kwargs={"pool_pre_ping": True})
        except (ArgumentError, NoSuchModuleError) as error:
            raise KexpError(f"search.storage: {without_passwords(place)} is no database URL: {error}") from None
        except ImportError as error:
            remedy = (
                "pip install 'kexp[postgresql]' for PostgreSQL, and name it postgresql+psycopg://USER@HOST/DATABASE"
            )
            raise KexpError(
                f"search.storage: the driver of {without_passwords(place)} is missing ({error}); {remedy}"
            ) from None
        except SQLAlchemyError as error:
            # Processes that open an empty database together make its tables together; all but one have to try again.
            if attempt == ATTEMPTS:
                what = "cannot be reached" if isinstance(error, OperationalError) else "cannot be used"
                first = str(getattr(error, "orig", None) or error).splitlines()[0]
                raise KexpError(f"search.storage: {without_passwords(place)} {what}: {first}") from None
            time.sleep(random.uniform(0.1, 0.5) * attempt)
    raise AssertionError
