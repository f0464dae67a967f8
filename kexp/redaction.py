"""Masks passwords in addresses of servers, which must not be printed or written."""

from __future__ import annotations

import re

PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s@]*@")


def without_passwords(text: str) -> str:
    """Return a text with asterisks in place of every password in an address."""
    return PASSWORD.sub(r"\1:***@", text)
