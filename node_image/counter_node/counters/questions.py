"""What may be asked of the state machine between entries (machine.py). Nothing here changes it."""

from __future__ import annotations

from counter_node.counters import weights
from counter_node.counters.accounts import Account
from counter_node.counters.batches import Limits, LimitsRow
from counter_node.counters.producers import Producers
from counter_node.counters.scripts import Scripts
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import State
from counter_node.counters.table import Table


class Questions:
    _state: State
    _sessions: Sessions
    _producers: Producers
    _scripts: Scripts

    @property
    def limits(self) -> Limits:
        return Limits(self._state.max_keys, self._producers.most)

    @property
    def max_bytes(self) -> int:
        return self._state.max_bytes

    @property
    def user_limits(self) -> tuple[LimitsRow, ...]:
        """Those in force, by name."""
        return self._state.accounts.limits()

    def accounts(self) -> list[tuple[Account, int]]:
        """Users with a limit, or with counters of their own; and what their producers take."""
        found = self._state.accounts.by_name.values()
        return [(account, self._producers.bytes_of(account.name)) for account in found]

    @property
    def size_bytes(self) -> int:
        """What the state takes of its limit, in the units of weights.py."""
        return self._state.taken(self.beside_bytes)

    @property
    def beside_bytes(self) -> int:
        """What is no counter, and stays after FLUSHALL; in a snapshot it takes less."""
        return (
            self._producers.size_bytes
            + self._state.watches.size_bytes
            + weights.SESSION * len(self._sessions)
            + self._scripts.table.size_bytes
        )

    @property
    def producer_count(self) -> int:
        return len(self._producers)

    @property
    def values(self) -> Table[int]:
        return self._state.values

    @property
    def deadlines(self) -> Table[int]:
        return self._state.deadlines

    @property
    def time_ms(self) -> int:
        return self._state.time_ms

    @property
    def offset_ms(self) -> int:
        """UTC is log time plus this."""
        return self._state.offset_ms

    @property
    def calendar_agreed(self) -> bool:
        return self._state.agreed

    @property
    def gap(self) -> bool:
        """The cluster stood still, and log time has not made up for all of it."""
        return self._state.since_gap is not None

    @property
    def marks(self) -> int:
        """How often a gap began."""
        return self._state.marks

    @property
    def jumps(self) -> tuple[int, int]:
        """How often log time jumped, and by how many ms in all."""
        return self._state.jumps, self._state.jumped_ms

    def next_expiry_ms(self) -> int | None:
        """Of what is not due yet."""
        return self._state.next_deadline()

    @property
    def backlog(self) -> bool:
        """Something is due that only further entries remove."""
        return self._state.backlog

    def page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Names of counters for who walks over all, keyspace.py."""
        return self._state.index.page(cursor, count)

    @property
    def untidy(self) -> bool:
        """There is memory to be given back by `tidy`."""
        return bool(self._state.waste)

    @property
    def tidied_bytes(self) -> int:
        """Given back so far, about."""
        return weights.KEY * self._state.waste.freed

    def containers(self) -> int:
        """How many objects of the state the interpreter's collector of garbage looks at."""
        return (
            len(self._state.index.buckets)
            + len(self._state.schedule.buckets)
            + 2 * len(self._producers)
        )

    def last_number(self, session: int) -> int | None:
        return self._sessions.last_number(session)

    def counts(self) -> dict[str, int]:
        state = self._state
        return {
            "keys": state.count(),
            "expiring": len(state.deadlines),
            "sessions": len(self._sessions),
            "producers": len(self._producers),
            "watches": len(state.watches),
            "scripts": len(self._scripts.table),
        }
