"""The state of the caller's process is as it was after a call: random numbers, flags, logging, the environment."""

from __future__ import annotations

import functools
import logging
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

from kexp.errors import KexpError, describe_os_error
from kexp.redaction import hiding_in_logs, without_passwords

P = ParamSpec("P")
R = TypeVar("R")

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Hide passwords in errors, as the commands do, and raise an operating system's refusal in words."""
    try:
        with hiding_in_logs():
            yield
    except KexpError as error:
        error.args = tuple(without_passwords(one) if isinstance(one, str) else one for one in error.args)
        raise
    except OSError as error:
        raise KexpError(without_passwords(describe_os_error(error))) from error


def of_the_caller(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose calls leave the process as it was, with errors as those of the other functions."""

    @functools.wraps(function)
    def called(*args: P.args, **options: P.kwargs) -> R:
        with as_exceptions(), unchanged():
            return function(*args, **options)

    return called


@contextmanager
def unchanged() -> Iterator[None]:
    """Restore at the end what training changes for the whole process; imports the libraries that it changes.

    Calls in several threads wait for each other, since what they change is that of the process. Restored are the random
    states of Python, NumPy and PyTorch, PyTorch's flags and threads, handlers and levels of loggers, filters of
    warnings, progress bars of transformers and datasets, and environment variables.
    """
    with ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        for kept in (_environment, kept_filters, _random_states, _flags, _libraries, _loggers):
            stack.enter_context(kept())
        yield


@contextmanager
def _environment() -> Iterator[None]:
    before, path = dict(os.environ), list(sys.path)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        sys.path[:] = path


@contextmanager
def kept_filters() -> Iterator[None]:
    """Restore at the end the filters of warnings, which some libraries change when they are imported."""
    with warnings.catch_warnings():
        yield


@contextmanager
def _random_states() -> Iterator[None]:
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if _uses_cuda() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _uses_cuda() -> bool:
    """Return whether CUDA was started, which asking for its state would do."""
    import torch

    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


@contextmanager
def _flags() -> Iterator[None]:
    import torch

    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fills = memory.fill_uninitialized_memory
    attention: bool = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    products = torch.get_float32_matmul_precision()
    threads = torch.get_num_threads()
    device = torch.cuda.current_device() if _uses_cuda() else None
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
        memory.fill_uninitialized_memory = fills
        torch.backends.cuda.enable_cudnn_sdp(attention)
        torch.set_float32_matmul_precision(products)
        torch.set_num_threads(threads)
        if device is not None:
            torch.cuda.set_device(device)


@contextmanager
def _libraries() -> Iterator[None]:
    # tqdm says so at its import in a notebook; kexp shows no bar of its.
    warnings.filterwarnings("ignore", message="IProgress not found")
    import datasets
    import datasets.config
    import huggingface_hub.constants
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    quiet = datasets.are_progress_bars_disabled()
    places: tuple[Any, ...] = (huggingface_hub.constants, datasets.config)
    offline = [place.HF_HUB_OFFLINE for place in places]
    try:
        yield
    finally:
        for place, value in zip(places, offline, strict=True):
            place.HF_HUB_OFFLINE = value
        (transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar)()  # type: ignore[no-untyped-call]
        (datasets.disable_progress_bars if quiet else datasets.enable_progress_bars)()


@contextmanager
def _loggers() -> Iterator[None]:
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    before = [(one, one.level, one.propagate, one.disabled, [*one.handlers]) for one in (logging.root, *known)]
    try:
        yield
    finally:
        for one, level, propagate, disabled, handlers in before:
            one.setLevel(level)
            one.propagate, one.disabled = propagate, disabled
            one.handlers[:] = handlers
