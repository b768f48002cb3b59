"""Counters that are counted exactly once, whatever happens to connections and nodes in between.

    with Counters(["redis://clicks:6379"]) as counters:
        counters.incr("page:/home")

`counters.py` is what you use, `lane.py` how a command is repeated safely, `errors.py` what can go wrong, `load.py` a load generator that checks the
books.
"""

from countercluster.counters import Counters
from countercluster.errors import CounterError, NotExecuted, OutcomeUnknown, Refused

__all__ = ["CounterError", "Counters", "NotExecuted", "OutcomeUnknown", "Refused"]
