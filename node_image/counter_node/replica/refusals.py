"""What a node answers when a command was not executed, or when it does not know. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from counter_node.counters.replies import Failure
from counter_node.replica.bundles import Op

Refusal = Callable[[Op], Failure | None]
"""Why there is no room for a write, or None when there is."""

LOADING: Final = Failure(b"LOADING no leader known for %d ms; the command was not executed")
UNKNOWN: Final = Failure(
    b"UNKNOWN the command was sent but its outcome is not known after %d ms; it may or may not "
    b"be executed"
)
RESTORED: Final = Failure(
    b"UNKNOWN the node caught up by a snapshot that holds the effect, if any, of this command "
    b"but not its reply"
)
TOO_LARGE: Final = (
    b"ERR a command or transaction of %d bytes in the log; at most %d (max_entry_bytes). "
    b"Send it in parts; it was not executed"
)
DISK_FULL: Final = Failure(
    b"MISCONF the disk of this node is nearly full; the command was not executed. Make room on "
    b"the volume, delete counters, or ask another node"
)
DISKS_FULL: Final = Failure(
    b"MISCONF the disks of a majority of the nodes are nearly full; the command was not executed. "
    b"Make room on their volumes, or delete counters"
)
NOT_EVEN_DELETIONS: Final = Failure(
    b"MISCONF the disk of this node, or of a majority, is nearly full, also for deletions; "
    b"the command was not executed. Make room on the volumes, or send FLUSHALL: that still finds "
    b"room"
)
DISK_FAILED: Final = Failure(
    b"MISCONF the disk of this node failed; the command was not executed. Ask another node; this "
    b"one's log says what failed"
)
DISK_FAILED_UNKNOWN: Final = Failure(
    b"UNKNOWN the disk of this node failed before the reply came; the command may or may not be "
    b"executed. Ask another node"
)
NOT_WITH_IT: Final = Failure(
    b"ERR not executed, as a command of the same pipeline needs nodes that are all upgraded; "
    b"send it again without that one"
)
