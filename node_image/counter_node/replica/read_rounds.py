"""Reads of a gateway, which are not in the log: one ReadIndex round answers all that wait. Pure.

A round is asked of the leader, confirmed with an index, and answered once that is applied. One is
under way at most; what comes meanwhile waits for the next. A round whose commands were given up
goes on without them: its answer tells that reads are answered again.
"""

from __future__ import annotations

from collections.abc import Iterable

from counter_node.raft.types import NONE
from counter_node.replica.bundles import Bundle, Gathered, Op, Reads, Route


class ReadRounds:
    def __init__(self, nonce: int, retry_ticks: int) -> None:
        """`nonce`: what the ids count on from, so that no other node and no other start has the
        same."""
        self.gathered = Gathered()
        self.asked: list[Reads] = []
        self._next_id = nonce
        self._retry = retry_ticks
        self._tick = 0

    @property
    def wanted(self) -> bool:
        """Something is gathered or asked for."""
        return bool(self.gathered.ops or self.asked)

    @property
    def nobody_waits(self) -> bool:
        return not (self.gathered.ops or any(group.bundles for group in self.asked))

    @property
    def can_send(self) -> bool:
        """Something is gathered, and every round before it is confirmed."""
        return bool(self.gathered.ops) and all(group.index is not None for group in self.asked)

    @property
    def given_up(self) -> bool:
        """A round goes on that nobody waits for any more: reads are not answered now."""
        return bool(self.asked) and not self.asked[0].bundles

    def add_in_order(self, commands: Iterable[tuple[Bundle, list[Op]]]) -> None:
        """Beside those that wait already, the oldest first: these waited for as long as they
        did."""
        for bundle, ops in sorted(
            [*commands, *self.gathered.take_each()], key=lambda each: each[0].born
        ):
            self.gathered.add(bundle, ops)

    def to_ask(self, route: Route) -> int | None:
        """Id of a read index to ask the leader of `route` for at this moment, if any."""
        if route[0] == NONE:
            return None
        for group in self.asked:
            if group.index is None:
                if group.route == route and self._tick - group.asked < self._retry:
                    return None
                group.id, group.route, group.asked = self._fresh_id(), route, self._tick
                return group.id
        if not self.gathered.ops:
            return None
        bundles, ops = self.gathered.take(len(self.gathered))
        group = Reads(self._fresh_id(), bundles, ops, route, self._tick)
        self.asked.append(group)
        return group.id

    def _fresh_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def confirmed(self, read_id: int, index: int) -> None:
        for group in self.asked:
            if group.id == read_id and group.index is None:
                group.index = index

    def due(self, applied: int) -> list[Reads]:
        """Takes the rounds whose index is applied."""
        due = [g for g in self.asked if g.index is not None and g.index <= applied]
        if due:
            self.asked = [g for g in self.asked if g.index is None or g.index > applied]
        return due

    def take_all(self) -> list[Bundle]:
        """Everything that waits; nothing is asked for any more."""
        bundles = [
            *self.gathered.take(len(self.gathered))[0],
            *(bundle for group in self.asked for bundle in group.bundles),
        ]
        self.asked = []
        return bundles

    def tick(self) -> None:
        self._tick += 1

    def take_late(self, born: int) -> list[Bundle]:
        """Those that were added at or before this tick and are not answered."""
        found: list[Bundle] = []
        if self.gathered and self.gathered.bundles[0].born <= born:
            found += self.gathered.older_than(born)
        late = [group for group in self.asked if group.bundles and group.bundles[0].born <= born]
        for group in late:
            found += group.bundles
            group.bundles, group.ops = [], []
        if late:
            asked = [group for group in self.asked if group.bundles]
            self.asked = [*(late[:1] if not asked else []), *asked]
        return found
