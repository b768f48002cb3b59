"""Counters that are counted exactly once, whatever happens to connections and nodes in between.

    with Counters(["redis://clicks:6379"]) as counters:
        counters.incr("page:/home")

    async with AsyncCounters(["redis://clicks:6379"]) as counters:
        await counters.incr("page:/home")

In the order to read them: `errors.py` what can go wrong, `commands.py` the words on the wire,
`attempts.py` what the end of an attempt says, `addresses.py` where the cluster is, `aio/lane.py`
how a command is repeated safely, `aio/cache.py` cheap reads, `aio/counters.py` what you use. The
blocking face in `sync/` is made from `aio/`. `load.py` is a load generator that checks the books.
"""

from countercluster.aio.counters import AsyncCounters
from countercluster.commands import Added, Batch
from countercluster.errors import (
    CounterError,
    LimitReached,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    ReplyLost,
)
from countercluster.sync.counters import Counters

__version__ = "0.1.0"

__all__ = [
    "Added",
    "AsyncCounters",
    "Batch",
    "CounterError",
    "Counters",
    "LimitReached",
    "NotExecuted",
    "OutcomeUnknown",
    "Refused",
    "ReplyLost",
]
