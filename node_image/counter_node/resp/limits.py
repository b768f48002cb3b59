"""Limits of what a client may send, in a room of their own: who only wants to know them needs no
parser. Pure."""

from __future__ import annotations

from typing import Final

MAX_REQUEST_BYTES: Final = 4 << 20
MAX_ARGUMENTS: Final = 1 << 16
MAX_LINE_BYTES: Final = 1 << 16
