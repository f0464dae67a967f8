"""Addresses of servers, some of which hold a password that must not be written anywhere."""

from __future__ import annotations

import re

PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s@]*@")


def without_passwords(text: str) -> str:
    """Return a text with asterisks in the place of every password in an address."""
    return PASSWORD.sub(r"\1:***@", text)
