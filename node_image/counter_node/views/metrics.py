"""Prometheus metrics of a node.

1. Every family is a row of metric_families.py.
2. Gauges and counters are read from the node when it is scraped. Only durations and what nobody
   else remembers are noted as they happen, and of commands once a turn for a whole bundle: one
   clock read, one bisection.
3. Names follow Prometheus' conventions: base units (seconds, bytes) last, `_total` for counters.
"""

from __future__ import annotations

import platform
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from counter_node import __version__
from counter_node.cache.publisher import Publisher
from counter_node.counters.replies import Failure
from counter_node.raft.core import Raft
from counter_node.raft.types import NodeId
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.settings import Settings
from counter_node.views.counted import Counted
from counter_node.views.metric_families import FAMILIES, HISTOGRAMS
from counter_node.views.status import Links, time_status
from counter_node.views.user_usage import Users, usage

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
)
ROLES = (
    "waiting",
    "follower",
    "precandidate",
    "candidate",
    "leader",
    "learner",
    "removed",
    "failed",
)
ERROR_CLASSES = frozenset(
    {
        "ERR",
        "LOADING",
        "UNKNOWN",
        "IDMPEXPIRED",
        "WRONGTYPE",
        "EXECABORT",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "OOM",
        "MOVED",
        "CROSSSLOT",
    }
    | {"NOPROTO", "READONLY", "BUSY", "NOTREADY", "NOTLEADER", "REMOVED"}
)
"""First words of error replies; every other one is counted as `other`, so that the number of series
is bounded."""

Sample = tuple[str, tuple[str, ...], float]  # name, label values, value


class Held(Protocol):
    @property
    def total(self) -> int: ...

    @property
    def limit(self) -> int: ...


class InLane(Protocol):
    held: int


class Clients(Counted, Protocol):
    @property
    def holdings(self) -> Held: ...

    @property
    def lane(self) -> InLane: ...


class Snapshots(Protocol):
    log_limit: int
    no_memory: str


class Measured(Users, Protocol):
    """What is read of the node at each scrape."""

    settings: Settings
    id: NodeId
    born: float
    failed: str
    memory_bytes: int
    refusals: Refusals
    tls: Tls | None
    cache: Publisher | None

    @property
    def clients(self) -> Clients: ...

    @property
    def peers(self) -> Links: ...

    @property
    def snapshots(self) -> Snapshots: ...

    @property
    def log_bytes(self) -> int: ...

    def role_name(self) -> str: ...

    def unready(self) -> str: ...


class Durations:
    """A histogram of what happens every turn. prometheus_client's takes a lock for each
    observation, and several times the time."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float, commands: int = 1) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += commands
        self.sum_s += seconds * commands

    def buckets(self) -> list[tuple[str, float]]:
        return list(zip([*map(str, SECONDS), "+Inf"], accumulate(self.counts), strict=True))


def _histogram(name: str, found: Mapping[tuple[str, ...], Durations]) -> Metric:
    """By label values."""
    histogram = HistogramMetricFamily(name, HISTOGRAMS[name].text, labels=HISTOGRAMS[name].labels)
    for labels, durations in found.items():
        histogram.add_metric(labels, durations.buckets(), durations.sum_s)
    return histogram


class Metrics:
    def __init__(self, node: Measured) -> None:
        self._node = node
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.cache_delay_seconds = self._histogram("counter_cache_delay_seconds")
        self.disk_jobs = Durations()
        self.loop_lag_seconds = self._histogram("counter_loop_lag_seconds")
        self.snapshot_seconds = self._histogram("counter_snapshot_seconds")
        self.writes, self.reads = Durations(), Durations()
        self.errors: Counter[str] = Counter()
        self.events: Counter[str] = Counter()  # by the family that counts them
        self.snapshot_bytes = 0
        self._role, self._leader = "", 0

    def _histogram(self, name: str) -> Histogram:
        return Histogram(name, HISTOGRAMS[name].text, registry=self.registry, buckets=SECONDS)

    # --- what happens -----------------------------------------------------------------------------

    def turned(self, raft: Raft) -> None:
        """Once a turn: has this node stood for election, won, or heard of another leader?"""
        role, leader = raft.role, raft.leader
        if role is not self._role:
            if role == "leader":
                self.events["counter_raft_elections_won"] += 1
            elif role == "precandidate" or (role == "candidate" and self._role != "precandidate"):
                self.events["counter_raft_elections_started"] += 1
            self._role = role
        if leader and leader != self._leader:
            self.events["counter_raft_leader_changes"] += 1
            self._leader = leader

    def snapshot_taken(self, size_bytes: int, seconds: float) -> None:
        self.events["counter_snapshots_taken"] += 1
        self.snapshot_bytes = size_bytes
        self.snapshot_seconds.observe(seconds)

    def failed(self, replies: Sequence[Any]) -> None:
        if Failure not in map(type, replies):  # nearly always, and at the speed of C
            return
        for reply in replies:
            if type(reply) is Failure:
                word = bytes(reply[:20]).partition(b" ")[0].decode("ascii", "replace")
                self.errors[word if word in ERROR_CLASSES else "other"] += 1

    # --- scraping ---------------------------------------------------------------------------------

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Empty: keeps the registry from collecting while the node is being made."""
        return []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for name, labels, value in self._samples():
            row = FAMILIES[name]
            if name not in families:
                kind = GaugeMetricFamily if row.kind == "gauge" else CounterMetricFamily
                families[name] = kind(name, row.text, labels=row.labels)
            families[name].add_metric(labels, value)  # type: ignore[attr-defined]
        yield from families.values()
        yield _histogram(
            "counter_command_duration_seconds", {("write",): self.writes, ("read",): self.reads}
        )
        yield _histogram("counter_disk_job_seconds", {(): self.disk_jobs})

    def _samples(self) -> Iterator[Sample]:
        node = self._node
        yield "counter_build_info", (__version__, platform.python_version()), 1
        yield "counter_ready", (), float(not node.unready())
        yield "counter_uptime_seconds", (), time.monotonic() - node.born
        yield (
            "counter_disk_full",
            (),
            float(node.replica.room.full or node.replica.jobs.snapshot_waits),
        )
        yield "counter_disk_failed", (), float(bool(node.failed))
        yield from self._raft()
        yield from self._sizes()
        yield from self._clients()
        yield from self._cache()
        yield from self._time()
        yield from self._security()
        yield from self._users()
        for name, row in FAMILIES.items():
            if row.kind == "counter" and name.startswith(("counter_raft_", "counter_snapshots_")):
                yield name, (), self.events[name]

    def _raft(self) -> Iterator[Sample]:
        node, raft = self._node, self._node.replica.raft
        now = node.role_name()
        for role in ROLES:
            yield "counter_raft_role", (role,), float(role == now)
        yield "counter_raft_is_leader", (), float(node.replica.is_leader)
        yield "counter_raft_has_leader", (), float(raft.leader != 0)
        yield "counter_raft_term", (), raft.term
        yield "counter_raft_commit_index", (), raft.log.committed
        yield "counter_raft_applied_index", (), node.replica.applied
        yield "counter_raft_last_index", (), raft.log.last_index
        yield "counter_raft_snapshot_index", (), raft.snapshot.index
        members, connected = raft.membership.members, node.peers.connected()
        for voter in (True, False):
            yield (
                "counter_raft_members",
                (str(voter).lower(),),
                sum(m.voter is voter for m in members),
            )
        for member in members:
            if member.id == node.id:
                continue
            yield (
                "counter_raft_peer_connected",
                (member.name,),
                float(connected.get(member.id, False)),
            )
            progress = (
                raft.leadership.progress.get(member.id) if raft.leadership is not None else None
            )
            if progress is not None:
                yield (
                    "counter_raft_peer_lag_entries",
                    (member.name,),
                    max(0, raft.log.last_index - progress.match),
                )

    def _time(self) -> Iterator[Sample]:
        found = time_status(self._node)
        yield "counter_log_time_seconds", (), found["elapsedMs"] / 1000
        yield "counter_log_time_offset_seconds", (), found["offsetMs"] / 1000
        yield "counter_log_time_jumps", (), found["jumps"]
        yield "counter_log_time_jump_seconds", (), found["jumpedMs"] / 1000
        if found["agreed"] is None:
            return
        yield "counter_clocks_disagree", (), len(found["apart"])
        for clock in found["clocks"]:
            yield "counter_clock_offset_seconds", (clock["name"],), clock["offsetMs"] / 1000
            yield "counter_clock_rate", (clock["name"],), (clock["ratePpm"] or 0) / 1_000_000

    def _security(self) -> Iterator[Sample]:
        node = self._node
        for reason, count in node.refusals.counts.items():
            yield "counter_refusals", (reason,), count
        tls = node.tls
        yield (
            "counter_certificate_not_after_seconds",
            (),
            float("inf") if tls is None else tls.current.not_after,
        )
        yield "counter_certificate_reloads", (), 0 if tls is None else tls.reloads
        yield "counter_certificate_reload_failures", (), 0 if tls is None else tls.failures
        yield "counter_users_reloads", (), node.access.reloads
        yield "counter_users_reload_failures", (), node.access.failures

    def _users(self) -> Iterator[Sample]:
        for use in usage(self._node):
            user = (use.name,)
            yield "counter_user_keys", user, use.keys
            yield "counter_user_size_bytes", user, use.bytes
            yield "counter_user_producers_size_bytes", user, use.producer_bytes
            yield "counter_user_commands", user, use.commands
            limits = {
                "counter_user_keys_limit": use.keys_limit,
                "counter_user_limit_bytes": use.bytes_limit,
                "counter_user_commands_limit": use.commands_limit,
            }
            for name, most in limits.items():
                if most is not None:
                    yield name, user, most
            yield "counter_user_refused", (use.name, "keys"), use.refused_keys
            yield "counter_user_refused", (use.name, "bytes"), use.refused_bytes
            yield "counter_user_refused", (use.name, "commands"), use.refused_commands

    def _sizes(self) -> Iterator[Sample]:
        node = self._node
        yield "counter_log_size_bytes", (), node.log_bytes
        yield "counter_log_limit_bytes", (), node.snapshots.log_limit
        yield "counter_snapshot_size_bytes", (), self.snapshot_bytes
        yield "counter_keys", (), len(node.replica.machine.values)
        machine = node.replica.machine
        yield "counter_state_size_bytes", (), machine.size_bytes
        yield "counter_state_limit_bytes", (), machine.max_bytes or float("inf")
        yield "counter_memory_limit_bytes", (), node.memory_bytes or float("inf")
        yield "counter_snapshot_refused", (), int(bool(node.snapshots.no_memory))
        yield "counter_producers", (), node.replica.machine.producer_count
        limits = node.replica.machine.limits
        yield "counter_keys_limit", (), limits.max_keys
        yield "counter_producers_limit", (), limits.max_producers
        yield "counter_level", (), node.replica.machine.level
        if now := node.replica.machine.lineage[-1:]:
            parent = node.replica.machine.lineage[-2:-1]
            yield (
                "counter_history_info",
                (now[0].id, parent[0].id if parent else "", now[0].reason),
                1,
            )

    def _clients(self) -> Iterator[Sample]:
        node, clients, limits = self._node, self._node.clients, self._node.settings
        yield "counter_commands", (), clients.commands
        for error in sorted(ERROR_CLASSES | {"other"}):
            yield "counter_command_errors", (error,), self.errors[error]
        yield "counter_clients_connected", (), clients.count
        yield "counter_clients_limit", (), clients.most
        yield "counter_clients_held_bytes", (), clients.holdings.total + clients.lane.held
        yield "counter_clients_held_limit_bytes", (), clients.holdings.limit
        yield "counter_clients_refused", (), clients.refused
        yield "counter_clients_cut", (), clients.cut
        yield "counter_gateway_gathered_commands", (), len(node.replica.gateway.writes)
        yield "counter_gateway_limit_commands", (), limits.max_gathered

    def _cache(self) -> Iterator[Sample]:
        cache = self._node.cache
        if cache is None:
            return
        counts = cache.counts
        for name in ("refills", "failures", "fenced", "publications", "keys"):
            yield f"counter_cache_{name}", (), getattr(counts, name)
        if cache.running:
            yield "counter_cache_connected", (), cache.connected
            yield "counter_cache_published_index", (), cache.published_index
            yield "counter_cache_staleness_seconds", (), cache.staleness_s
