"""Kubernetes' quantities of bytes."""

from __future__ import annotations

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}


def in_bytes(quantity: str) -> int:
    """`64Mi` → 67108864. Raises ValueError for what is no quantity of bytes."""
    for unit, factor in _UNITS.items():
        if quantity.endswith(unit):
            return int(float(quantity.removesuffix(unit)) * factor)
    return int(float(quantity))
