"""Kubernetes' quantities of bytes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]+|m|k|[MGTPE]|[KMGTPE]i)?"
)
_DECIMAL: Final = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def in_bytes(quantity: str) -> int:
    """`64Mi` → 67108864. Raises ValueError for what is no quantity of bytes."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity[:64]!r} is no quantity of bytes")
    number, unit = Decimal(found[1]), found[2] or ""
    if unit in _BINARY:
        return int(number * (1 << _BINARY[unit]))
    return int(number.scaleb(_DECIMAL[unit] if unit in _DECIMAL else int(unit[1:])))
