"""Where Optuna keeps a study: a journal file by default, or whatever database several machines share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.errors import KexpError
from kexp.redaction import mask_parts, masked_address
from kexp.search.journal import open_journal
from kexp.search.patience import first_line, patient

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

ATTEMPTS = 6
JOURNAL = "journal.log"
PATIENCE = 10.0
"""Seconds in which a proxy server has to answer."""


def open_storage(place: str, folder: Path, tell: Callable[[str], None]) -> BaseStorage:
    """Open ``journal`` (a file in the folder), ``grpc://HOST:PORT`` (Optuna's proxy) or a database by its URL.

    A server that is gone for a while is waited for, which ``tell`` is told. Raises ``KexpError`` when it cannot be
    reached at first; the message never shows a password.
    """
    if place == "journal":
        # Not SQLite: processes that open a fresh file together fail, and it is slower.
        return open_journal(folder / JOURNAL)
    opened = _proxy(place) if place.startswith("grpc://") else _database(place)
    return patient(opened, f"search.storage: {masked_address(place)}", tell)


def _proxy(place: str) -> BaseStorage:
    shown = masked_address(place)
    try:
        import grpc  # noqa: F401
        from optuna.storages import GrpcStorageProxy
    except ImportError:
        raise KexpError(f"search.storage: {shown} needs the package grpcio; pip install 'kexp[grpc]'") from None
    host, _, port = place.removeprefix("grpc://").rstrip("/").rpartition(":")
    if not host or not port.isdecimal():
        host, port = place.removeprefix("grpc://").rstrip("/"), "13000"
    storage = GrpcStorageProxy(host=host, port=int(port))
    try:
        storage.wait_server_ready(timeout=PATIENCE)
    # A name that is no host's, or a port that is too high, shows as an error of several kinds.
    except Exception:  # noqa: BLE001
        raise KexpError(f"search.storage: {shown} does not answer; start Optuna's proxy server there") from None
    return storage


def _database(place: str) -> BaseStorage:
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

    shown = masked_address(place)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return get_storage(RDBStorage(place, engine_kwargs={"pool_pre_ping": True}))
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise KexpError(
                f"search.storage: {shown} is no database URL: {mask_parts(first_line(error), place)}"
            ) from None
        except ImportError as error:
            cause = mask_parts(str(error), place)
            remedy = (
                "pip install 'kexp[postgresql]' for PostgreSQL, and name it postgresql+psycopg://USER@HOST/DATABASE"
            )
            raise KexpError(f"search.storage: the driver of {shown} is missing ({cause}); {remedy}") from None
        # Options of the URL that a driver does not know, and tables that another version of Optuna has made.
        except (TypeError, RuntimeError) as error:
            raise KexpError(f"search.storage: {shown} cannot be used: {mask_parts(first_line(error), place)}") from None
        except SQLAlchemyError as error:
            # Processes that open an empty database together make its tables together; all but one have to try again.
            if attempt == ATTEMPTS:
                what = "cannot be reached" if isinstance(error, OperationalError) else "cannot be used"
                raise KexpError(f"search.storage: {shown} {what}: {mask_parts(first_line(error), place)}") from None
            time.sleep(random.uniform(0.1, 0.5) * attempt)
    raise AssertionError
