"""Prometheus metrics of a node.

1. Every family is a row of `FAMILIES`, histograms in `HISTOGRAMS`; docs/reference/metrics.md is
   made from both and a test keeps it so.
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
from typing import Any, NamedTuple, Protocol

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


class Family(NamedTuple):
    kind: str  # gauge or counter
    text: str
    labels: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "counter_build_info": Family(
        "gauge", "Always 1; the versions are labels", ("version", "python")
    ),
    "counter_ready": Family("gauge", "1 when the node is ready"),
    "counter_uptime_seconds": Family("gauge", "Time since the process began"),
    "counter_disk_full": Family(
        "gauge", "1 while writes are refused because the disk is nearly full"
    ),
    "counter_disk_failed": Family(
        "gauge", "1 when the disk failed and the node writes nothing any more"
    ),
    "counter_raft_role": Family(
        "gauge", "1 for the role that the node has, 0 for the others", ("role",)
    ),
    "counter_raft_is_leader": Family("gauge", "1 on the leader"),
    "counter_raft_has_leader": Family("gauge", "1 when the node knows who leads"),
    "counter_raft_term": Family("gauge", "Current term"),
    "counter_raft_commit_index": Family("gauge", "Newest committed index known here"),
    "counter_raft_applied_index": Family("gauge", "Newest applied index"),
    "counter_raft_last_index": Family("gauge", "End of the log"),
    "counter_raft_snapshot_index": Family("gauge", "Newest index that the snapshot in force holds"),
    "counter_raft_members": Family("gauge", "Members of the configuration", ("voter",)),
    "counter_raft_peer_connected": Family(
        "gauge", "1 while the link to this member is up", ("peer",)
    ),
    "counter_raft_peer_lag_entries": Family(
        "gauge",
        "Entries of the leader's log that this member does not have; on the leader only",
        ("peer",),
    ),
    "counter_raft_elections_started": Family(
        "counter", "Times this node stood for election, trial rounds (PreVote) included"
    ),
    "counter_raft_elections_won": Family("counter", "Times this node became the leader"),
    "counter_raft_leader_changes": Family(
        "counter", "Times this node heard of another leader than before"
    ),
    "counter_snapshots_taken": Family("counter", "Snapshots of its own that the node saved"),
    "counter_snapshots_installed": Family(
        "counter", "Snapshots received from a leader and put in force"
    ),
    "counter_snapshots_sent": Family("counter", "Snapshots sent to other members to the end"),
    "counter_log_size_bytes": Family("gauge", "Log on disk after the snapshot, to 64 KiB"),
    "counter_log_limit_bytes": Family("gauge", "Log after which a snapshot is taken"),
    "counter_snapshot_size_bytes": Family(
        "gauge", "The last snapshot that was taken; 0 before the first since the start"
    ),
    "counter_keys": Family("gauge", "Counters in the state"),
    "counter_producers": Family("gauge", "Producers of IDMP that are remembered"),
    "counter_user_keys": Family("gauge", "Counters that belong to a user with a limit", ("user",)),
    "counter_user_keys_limit": Family("gauge", "How many it may have", ("user",)),
    "counter_user_size_bytes": Family(
        "gauge", "What those counters take, as the state counts itself", ("user",)
    ),
    "counter_user_producers_size_bytes": Family(
        "gauge", "What its producers of IDMP take", ("user",)
    ),
    "counter_user_limit_bytes": Family(
        "gauge", "What its counters may take, and what its producers may", ("user",)
    ),
    "counter_user_commands": Family(
        "counter", "Commands that a user with a limit gave to this node", ("user",)
    ),
    "counter_user_commands_limit": Family(
        "gauge", "How many a second it may give to each node", ("user",)
    ),
    "counter_user_refused": Family(
        "counter", "Commands refused for a limit of the user", ("user", "limit")
    ),
    "counter_state_size_bytes": Family(
        "gauge", "What the replicated state takes, as it counts itself (counters/weights.py)"
    ),
    "counter_state_limit_bytes": Family(
        "gauge", "What it may take (max_bytes); past it nothing new is taken. +Inf: no limit"
    ),
    "counter_memory_limit_bytes": Family(
        "gauge", "Memory that the process may use; +Inf where that is not known"
    ),
    "counter_snapshot_refused": Family(
        "gauge", "1 while no snapshot is begun, as the process would not survive it"
    ),
    "counter_keys_limit": Family("gauge", "Counters at most (max_keys)"),
    "counter_producers_limit": Family(
        "gauge",
        "Producers at most (max_producers); a producer is forgotten 24 hours after its last "
        "request",
    ),
    "counter_level": Family(
        "gauge",
        "Level of what may be in the replicated log; lower than that of the newest nodes in the "
        "middle of a roll",
    ),
    "counter_log_time_seconds": Family("gauge", "Log time, a stopwatch that no calendar moves"),
    "counter_log_time_offset_seconds": Family("gauge", "UTC minus log time"),
    "counter_log_time_jumps": Family(
        "counter", "Times log time jumped over a full stop of the cluster"
    ),
    "counter_log_time_jump_seconds": Family("counter", "How far log time jumped, in all"),
    "counter_clock_offset_seconds": Family(
        "gauge", "Member's wall clock minus the calendar in the log; on the leader only", ("node",)
    ),
    "counter_clock_rate": Family(
        "gauge",
        "Log time's rate by the member's running clock, 0 while not known; on the leader only",
        ("node",),
    ),
    "counter_clocks_disagree": Family(
        "gauge", "Members whose wall clock is not what a majority agrees on; on the leader only"
    ),
    "counter_history_info": Family(
        "gauge",
        "Always 1; the history that the state is of, and how it began",
        ("history", "parent", "reason"),
    ),
    "counter_commands": Family("counter", "Commands received"),
    "counter_command_errors": Family(
        "counter",
        "Error replies by their first word; errors inside of EXEC's list are not counted",
        ("error",),
    ),
    "counter_clients_connected": Family("gauge", "Open client connections"),
    "counter_clients_limit": Family("gauge", "Client connections that are accepted at most"),
    "counter_clients_refused": Family("counter", "Connections refused over the limit"),
    "counter_clients_held_bytes": Family(
        "gauge",
        "What clients make the node hold: commands and replies on their way, transactions, "
        "watches, TLS",
    ),
    "counter_clients_held_limit_bytes": Family(
        "gauge", "Past this the connection that holds most is cut"
    ),
    "counter_clients_cut": Family(
        "counter", "Connections cut because the client did not read its replies"
    ),
    "counter_refusals": Family(
        "counter",
        "What was refused to clients, peers and strangers; the reasons: docs/internals/security.md",
        ("reason",),
    ),
    "counter_certificate_not_after_seconds": Family(
        "gauge", "Unix time at which the certificate in use ends; +Inf without TLS"
    ),
    "counter_certificate_reloads": Family("counter", "Certificates read anew"),
    "counter_certificate_reload_failures": Family(
        "counter", "New certificates that could not be used"
    ),
    "counter_users_reloads": Family("counter", "Times the users were read anew"),
    "counter_users_reload_failures": Family("counter", "New users that could not be used"),
    "counter_gateway_gathered_commands": Family(
        "gauge", "Writes that wait for the batch in flight"
    ),
    "counter_gateway_limit_commands": Family(
        "gauge", "Waiting commands at which clients are not read from any more"
    ),
    "counter_cache_connected": Family("gauge", "Redis pods that are reached; on the leader only"),
    "counter_cache_published_index": Family(
        "gauge", "Index that every reached Redis has; on the leader only"
    ),
    "counter_cache_staleness_seconds": Family(
        "gauge",
        "Age of the oldest Redis' last confirmed write, heartbeats included; on the leader only",
    ),
    "counter_cache_refills": Family("counter", "Times a Redis was filled with everything"),
    "counter_cache_failures": Family("counter", "Times a Redis did not answer"),
    "counter_cache_fenced": Family(
        "counter", "Times a newer leader's mark kept this node from writing"
    ),
    "counter_cache_publications": Family("counter", "Times a Redis was brought up to date"),
    "counter_cache_keys": Family("counter", "Counters written to a Redis or deleted there"),
}
HISTOGRAMS = {
    "counter_cache_delay_seconds": Family(
        "histogram", "From the oldest change of a publication to the answer of Redis"
    ),
    "counter_command_duration_seconds": Family(
        "histogram", "From a command's arrival to its reply, by the way it takes", ("kind",)
    ),
    "counter_disk_job_seconds": Family("histogram", "One write to the log with its fdatasync"),
    "counter_loop_lag_seconds": Family("histogram", "How late the clock tick came"),
    "counter_snapshot_seconds": Family("histogram", "Taking and saving a snapshot"),
}


class Held(Protocol):
    @property
    def total(self) -> int: ...

    @property
    def limit(self) -> int: ...


class InLane(Protocol):
    held: int


class Clients(Protocol):
    refused: int
    cut: int
    most: int

    @property
    def count(self) -> int: ...

    @property
    def commands(self) -> int: ...

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
