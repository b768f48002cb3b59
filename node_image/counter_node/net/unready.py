"""A node that is not ready lets its clients go: they find another node, where they would wait here.

A pool of connections to a node that is cut off stays there for ever, as each command gets its
`-LOADING` and the connection looks healthy. So, once the node was not ready for
`unready_close_s`, and until it is ready again:

1. A connection without a write in flight is closed. One with a write in flight gets its answer
   first: it is never closed by this.
2. A new connection gets `-LOADING` (`-MISCONF` of a node whose disk failed), with the reason, for
   what it says first, and is closed; or is closed after `GRACE_S`, when it says nothing.
3. On the cluster port a node that led goes on: it sends clients to another node by MOVED
   (resp/cluster.py). Some of them stay with a master that closes connections or refuses them.
4. The admin port, the HTTP port and the peers' port are not touched: probes, the operator and
   members are served as ever.

Also when no node of the cluster has a leader: which of both it is, a node cannot know.
"""

from __future__ import annotations

from typing import Final, Protocol

from counter_node.counters.replies import Failure
from counter_node.replica.replica import Replica

GRACE_S: Final = 1.0
"""A new connection may take so long to say what it wants, and to hear that it will not get it."""
APPLYING: Final = "applying"
"""How the reason of a node begins that has not applied all that it knows committed; under load that
is so for a moment, again and again."""


class Judged(Protocol):
    """What readiness is read from."""

    replica: Replica
    stopping: bool
    failed: str

    def unready(self) -> str: ...


class Unready:
    def __init__(self, node: Judged, close_s: float) -> None:
        """`close_s`: 0 means never."""
        self._node, self._close_s = node, close_s
        self._since_s: float | None = None
        self._committed = 0
        self.refusal: Failure | None = None
        """What clients are answered; None while they are served."""

    def tick(self, now_s: float) -> bool:
        """Whether clients are to be let go, now."""
        if not self._close_s:
            return False
        reason = self._reason()
        if not reason or self._node.stopping:
            self._since_s, self.refusal = None, None
            return False
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < self._close_s:
            return False
        code = "MISCONF" if self._node.failed else "LOADING"
        text = (
            f"{code} this node is not ready for {now_s - self._since_s:.0f} s: {reason}; the "
            f"command was not executed, connect to another node"
        )
        self.refusal = Failure(text.encode())
        return True

    def _reason(self) -> str:
        reason = self._node.unready()
        before, self._committed = self._committed, self._node.replica.raft.log.committed
        if reason.startswith(APPLYING) and self._node.replica.applied >= before:
            return ""  # it keeps up
        return reason
