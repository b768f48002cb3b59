"""Prometheus metrics of a node. Gauges and counters are read from the node when it is scraped; only times are observed as they happen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from counter_node.node import Node

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    def __init__(self, node: Node) -> None:
        self._node = node
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.disk_job_seconds = Histogram("counter_disk_job_seconds", "Time of one write and fdatasync", registry=self.registry, buckets=SECONDS)
        self.loop_lag_seconds = Histogram("counter_loop_lag_seconds", "How late the clock tick came", registry=self.registry, buckets=SECONDS)

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Empty: keeps the registry from collecting while the node is being made."""
        return []

    def collect(self) -> Iterable[Metric]:
        node = self._node
        replica, clients = node.replica, node.clients
        raft = replica.raft
        gauges = {
            "counter_ready": ("1 when the node is ready", float(not node.unready())),
            "counter_disk_full": ("1 while writes are refused because the disk is nearly full", float(replica.disk_room is not None)),
            "counter_raft_is_leader": ("1 on the leader", float(replica.is_leader)),
            "counter_raft_term": ("Current term", raft.term),
            "counter_raft_commit_index": ("Newest committed index known here", raft.log.committed),
            "counter_raft_applied_index": ("Newest applied index", replica.applied),
            "counter_raft_last_index": ("End of the log", raft.log.last_index),
            "counter_raft_members": ("Members of the configuration", len(raft.membership.members)),
            "counter_keys": ("Counters in the state", len(replica.machine.values)),
            "counter_clients_connected": ("Open client connections", clients.count),
            "counter_gateway_gathered_commands": ("Writes that wait for the batch in flight", len(replica.gateway.writes)),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily("counter_commands", "Commands received", value=clients.commands)
        yield CounterMetricFamily("counter_clients_refused", "Connections refused over the limit", value=clients.refused)
        if node.cache is not None:
            yield GaugeMetricFamily("counter_cache_connected", "Redis pods that are reached", value=node.cache.connected)
            yield GaugeMetricFamily("counter_cache_published_index", "Index that every reached Redis has", value=node.cache.published_index)
