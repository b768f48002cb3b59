"""The rule that all parts of a node's memory come to no more than its limit, all of them full at once. Pure.

A node makes each part from its limit (counter_node/memory.py, with the same numbers; a test compares them), so that by themselves they fit. What
spec.settings say instead may not: such a spec is refused here, as at the limit all members would be killed together, and none would come back.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

MIB: Final = 1 << 20
PROCESS: Final = 64 * MIB
CLIENTS_SHARE: Final = 8
MOST_CLIENTS: Final = 256 * MIB
LOG_SHARE: Final = 6
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([eE][0-9]+|m|k|[MGTPE]|[KMGTPE]i)?")
_DECIMAL: Final = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def too_much(resources: dict[str, Any], client_mib: int, state_mib: int) -> str:
    """Why settings do not fit the memory limit; empty when they do, or nothing is set, or there is no limit."""
    memory = quantity((resources.get("limits") or {}).get("memory"))
    if not memory or not (client_mib or state_mib):
        return ""
    clients = client_mib * MIB or min(MOST_CLIENTS, memory // CLIENTS_SHARE)
    left = memory - PROCESS - clients - memory // LOG_SHARE
    if left >= state_mib * MIB * 3 // 2 and left > 0:
        return ""
    return (
        f"spec.settings.maxStateMiB is {state_mib} and clientMiB {client_mib}: of the memory limit "
        f"({memory // MIB} MiB) {PROCESS // MIB} MiB are for the program, {memory // LOG_SHARE // MIB} "
        f"for the log and {clients // MIB} for clients, so that the state may take "
        f"{max(0, left * 2 // 3 // MIB)} at most, as a snapshot is made beside it. "
        "Raise spec.resources.limits.memory, or leave both at 0"
    )


def quantity(value: Any) -> int:
    """Bytes of a quantity of Kubernetes; 0 for what is none."""
    found = _QUANTITY.fullmatch(str(value)) if value is not None else None
    if found is None:
        return 0
    number, unit = Decimal(found[1]), found[2] or ""
    if unit in _BINARY:
        return int(number * (1 << _BINARY[unit]))
    return int(number.scaleb(_DECIMAL[unit] if unit in _DECIMAL else int(unit[1:])))
