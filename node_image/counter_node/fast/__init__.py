"""The fast lane: increments and reads of one counter, which are nearly all commands, without a line of Python for each.

What is compiled is `lane.pyx`; `pure.py` says what the rest of the node may expect of it, and stands in for it where nothing was compiled or
`COUNTER_PURE` is set. Then every command goes the ordinary way (net/clients.py), with the same replies.

1. The lane takes what a connection sent only if it is nothing but whole `INCR key`, or nothing but whole `GET key`, in RESP arrays; from a
   connection that has said something before, is in no transaction, may do everything that its port serves, and has nothing unanswered that went the
   ordinary way. Reads are not taken while writes are unanswered, nor writes while reads are: the order of a connection is that of net/clients.py.
2. All that the lane took in a turn goes to the gateway as one bundle, a sheaf, and its replies come back as one. What a turn costs is so shared by
   the commands of all connections.
3. When anything else arrives from a connection, what it has in the lane first takes its place among what went the ordinary way: its replies are
   written in the order of the commands, whichever way these went. The same happens when a later command is answered first (LOADING, say).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("COUNTER_PURE"):
    from counter_node.fast.pure import COMPILED, Connection, Lane, Sheaf
else:
    try:
        from counter_node.fast.lane import COMPILED, Connection, Lane, Sheaf
    except ImportError:
        from counter_node.fast.pure import COMPILED, Connection, Lane, Sheaf

__all__ = ["COMPILED", "Connection", "Lane", "Sheaf"]
