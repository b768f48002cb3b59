"""The rule that all parts of a node's memory come to no more than its limit, all of them full at
once. Pure.

A node makes each part from its limit (counter_node/memory.py, with the same numbers; a test
compares them), so that by themselves they fit. What spec.settings say instead may not: such a spec
is refused here, as at the limit all members would be killed together, and none would come back."""

from __future__ import annotations

from typing import Any, Final

from countercluster_operator.quantity import in_bytes

MIB: Final = 1 << 20
PROCESS: Final = 64 * MIB
CLIENTS_SHARE: Final = 8
MOST_CLIENTS: Final = 256 * MIB
LOG_SHARE: Final = 6


def too_much(resources: dict[str, Any], client_mib: int, state_mib: int) -> str:
    """Why settings do not fit the memory limit; empty when they do, or nothing is set, or there is
    no limit."""
    memory = quantity((resources.get("limits") or {}).get("memory"))
    if not memory or not (client_mib or state_mib):
        return ""
    clients = client_mib * MIB or min(MOST_CLIENTS, memory // CLIENTS_SHARE)
    left = memory - PROCESS - clients - memory // LOG_SHARE
    if left >= state_mib * MIB * 3 // 2 and left > 0:
        return ""
    return (
        f"spec.settings.maxStateMiB is {state_mib} and clientMiB {client_mib}: of the memory limit "
        f"({memory // MIB} MiB) {PROCESS // MIB} MiB are for the program, "
        f"{memory // LOG_SHARE // MIB} "
        f"for the log and {clients // MIB} for clients, so that the state may take "
        f"{max(0, left * 2 // 3 // MIB)} at most, as a snapshot is made beside it. "
        "Raise spec.resources.limits.memory, or leave both at 0"
    )


def quantity(value: Any) -> int:
    """Bytes of a quantity of Kubernetes; 0 for what is none."""
    try:
        return in_bytes(str(value))
    except ValueError:
        return 0
