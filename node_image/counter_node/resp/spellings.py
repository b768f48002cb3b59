"""What an INCR and a GET look like from the libraries of clients: the one place that says it. Other
spellings (`Incr`) are as good, and take the longer way."""

from __future__ import annotations

from typing import Final

INCR: Final = (b"INCR", b"incr")
GET: Final = (b"GET", b"get")


def head(name: bytes) -> bytes:
    """The bytes before the key, whose header follows."""
    return b"*2\r\n$%d\r\n%s\r\n" % (len(name), name)
