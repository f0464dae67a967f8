"""Hides secrets in everything that is written or shown: in addresses, in assignments and headers, and known values."""

from __future__ import annotations

import logging
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"

_SCHEME = r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}:/{1,3})"
# Up to the last @, since a password may hold "/" and "@": rather too much is hidden than too little.
_WITH_PASSWORD = re.compile(_SCHEME + r"(?P<user>[^\s/:@]*):(?P<password>\S{0,4000})@")
_TOKEN_AS_USER = re.compile(r"(?P<scheme>\b(?i:https?|git|hf|s3|wss?):/{1,3})(?P<password>[^\s/:@?#]+):?@")

_WHOLE = re.compile(r"(?s)(?P<before>(?:[a-zA-Z][a-zA-Z0-9+.-]*:/{1,3})?+[^\s/:@]*+):(?P<password>.+)@")
"""A text that is an address as a whole, with or without a scheme: its password may hold spaces too."""

_NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|(?:api|access|secret|private|account|shared|subscription)[_-]?key(?:[_-]?id)?"
    r"|(?!(?:pad|unk|cls|sep|mask|bos|eos|special)_)(?:[a-z0-9]+[_-])*(?:token|secret|password|passwd|passphrase)"
    r"|credentials?|signature|sig|sslpassword|x-amz-(?:signature|credential|security-token)"
)
_IN_QUERY = re.compile(rf"(?i)(?P<before>[?&;](?:{_NAMES}|key|auth|authorization|code)=)(?P<secret>[^\s&#;]+)")
_ASSIGNED = re.compile(
    rf"(?i)(?P<before>(?:^|(?<=[\s\"'({{\[,;])|(?<=--))(?:{_NAMES})[\"']?\s*=\s*)"
    r"(?:(?P<quote>[\"'])(?P<quoted>.*?)(?P=quote)|(?P<bare>[^\s\"',;})\]]+))"
)
_HEADER = re.compile(
    r"(?i)(?P<before>[\"']?\b(?:(?:proxy-)?authorization|(?:x-)?(?:api|auth|access)[_-](?:key|token)|x-[\w-]*token"
    r"|passw(?:or)?d)[\"']?\s*:\s*[\"']?(?:(?:bearer|basic|token|digest)\s+)?)(?P<secret>[^\s\"',;}]+)"
)
_BEARER = re.compile(r"(?i)(?P<before>\b(?:bearer|basic)\s+)(?=\S*[\d=])(?P<secret>[\w.~+/-]{8,}=*)")
_OPTION = re.compile(r"(?i)(?P<before>(?:^|\s)--(?:[\w-]*-)?(?:password|token|api-key|secret)\s+)(?P<secret>\S+)")
_FORMATS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-(?:proj|ant)-[\w-]{16,}|sk-[A-Za-z0-9]{32,}"
    r"|xox[abprs]-[\w-]{8,}|AKIA[A-Z0-9]{12,}|dapi[0-9a-f]{16,})"
)
"""Tokens of well-known services, which can be told by how they begin."""

LABELS = frozenset({"label", "labels", "label_names", "leave_out"})
"""Keys that hold labels of a dataset. A label such as ``token=1`` is no secret, and two must not become one."""

_SECRET_WORDS = {"TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "PASS", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"}
_known: set[str] = set()


def without_passwords(text: str) -> str:
    """Return a text with ``***`` in place of everything in it that is, or looks like, a password or token.

    Hidden are passwords in addresses (``scheme://user:password@host``, ``?password=``), assigned to names such as
    ``token`` or ``api_key``, in headers, tokens of well-known formats, the values of environment variables such as
    ``HF_TOKEN``, and what ``remember_secrets`` was told.
    """
    if not text:
        return text
    text = without_address_secrets(text)
    if "=" in text:
        text = _ASSIGNED.sub(lambda found: f"{found['before']}{found['quote'] or ''}{MASK}{found['quote'] or ''}", text)
    for pattern in (_HEADER, _BEARER, _OPTION):
        text = pattern.sub(rf"\g<before>{MASK}", text)
    known = _known | _of_environment(frozenset(_named_like_secrets()))
    if any(secret in text for secret in known):
        for secret in sorted(known, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return text


def without_address_secrets(text: str) -> str:
    """Return a text with ``***`` for passwords in addresses and tokens of well-known formats only."""
    if "@" in text:
        text = _TOKEN_AS_USER.sub(rf"\g<scheme>{MASK}@", text)
        text = _WITH_PASSWORD.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    if "=" in text:
        text = _IN_QUERY.sub(rf"\g<before>{MASK}", text)
    return _FORMATS.sub(MASK, text)


def masked_address(address: str) -> str:
    """Return a text that is an address as a whole with its secrets hidden, whatever its password holds."""
    found = _WHOLE.match(address)
    return without_passwords(f"{found['before']}:{MASK}@{address[found.end() :]}" if found else address)


def hidden(value: Any, hide: Callable[[str], str] = without_passwords) -> Any:
    """Return plain data with the secrets in its texts hidden; keys and the labels of a dataset stay as they are."""
    if isinstance(value, Mapping):
        return {key: item if key in LABELS else hidden(item, hide) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(item, hide) for item in value]
    return hide(value) if isinstance(value, str) else value


def is_masked(text: str) -> bool:
    """Return whether a text is an address whose password was hidden, or a secret that was hidden as a whole."""
    return (text != "" and not text.strip("*")) or (
        bool(re.match(_SCHEME, text) or _WHOLE.match(text)) and MASK in secrets_of(text)
    )


def remember_secrets(*secrets: str) -> None:
    """Hide these texts wherever they occur from now on, percent-encoded too.

    A short or plain word is not remembered: it would hide other texts. In an address it is hidden all the same.
    """
    # A library that takes an address apart at the wrong place quotes a part of a password.
    parts = {part for secret in secrets for part in (secret, *re.split(r"[/@:?#]", secret))}
    _known.update(form for part in parts for form in _forms(part) if _unmistakable(form))


def secrets_of(text: str) -> Iterator[str]:
    """Yield the passwords and tokens in an address."""
    if (whole := _WHOLE.match(text)) is not None:
        yield whole["password"]
    for pattern in (_WITH_PASSWORD, _TOKEN_AS_USER):
        yield from (found["password"] for found in pattern.finditer(text))
    yield from (found["secret"] for found in _IN_QUERY.finditer(text))


def mask_parts(text: str, address: str) -> str:
    """Return a message about an address without the secrets in it, also where a library quotes a part of them."""
    for secret in sorted(secrets_of(address), key=len, reverse=True):
        for part in {*_forms(secret), *(part for part in re.split(r"[/@:]", secret) if part)}:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(part)}(?![A-Za-z0-9])", MASK, text)
    return without_passwords(text)


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, percent-encoded and decoded."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    return {form for text in plain for form in (text, quote(text, safe=""), quote_plus(text))} - {""}


def _unmistakable(secret: str) -> bool:
    return len(secret) >= 8 and not secret.isalpha() and MASK not in secret


def _named_like_secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        words = set(name.upper().split("_"))
        # KEY may be the first word of what is no secret at all.
        if (words & (_SECRET_WORDS - {"KEY"}) or name.upper().endswith("KEY")) and not value.startswith("/"):
            yield value
        elif "://" in value:
            yield from secrets_of(value)


@lru_cache(16)
def _of_environment(values: frozenset[str]) -> set[str]:
    return {form for value in values for form in _forms(value) if _unmistakable(form) or len(form) >= 16}


# --- logs, warnings and tracebacks -----------------------------------------------------------------------------------


@contextmanager
def hiding_in_logs() -> Iterator[None]:
    """Hide secrets in all records of Python's logging and in warnings, whichever handler writes them."""
    factory, formatted = logging.getLogRecordFactory(), warnings.formatwarning

    def record(*arguments: Any, **options: Any) -> logging.LogRecord:
        made = factory(*arguments, **options)
        try:
            made.msg, made.args = without_passwords(made.getMessage()), ()
        except (TypeError, ValueError):
            # A library's wrong format string is for its handler to report.
            made.msg = without_passwords(str(made.msg))
        if made.exc_info and made.exc_info[0] is not None:
            made.exc_text = without_passwords("".join(traceback.format_exception(*made.exc_info)).rstrip("\n"))
        return made

    def warning(*arguments: Any, **options: Any) -> str:
        return without_passwords(formatted(*arguments, **options))

    logging.setLogRecordFactory(record)
    warnings.formatwarning = warning
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
        warnings.formatwarning = formatted
