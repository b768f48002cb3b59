"""What Prometheus and Grafana need to watch one CounterCluster: a PodMonitor, a PrometheusRule and
a dashboard in a ConfigMap.

The two of Prometheus Operator are made only where the API server knows those kinds (children.py
asks). Every series of the nodes carries the labels `namespace` and `countercluster`; rules and
dashboard select by both, so that two clusters never mix. Alerts fire for the user's sake or for a
loss to come, never for what the operator is about to repair: hence the waiting times. Each has a
page in docs/operating/alerts/."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from countercluster_operator import names
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.resources.child import Child, Wish, same, suffixed

API = "monitoring.coreos.com/v1"
KINDS = ("PodMonitor", "PrometheusRule")
HISTORY = re.compile("[0-9a-f]{16}")
LABEL = "countercluster"
RUNBOOKS = "docs/operating/alerts"


class Alert(NamedTuple):
    name: str
    severity: str  # critical: somebody must come now; warning: within a day
    minutes: int  # for so long
    query: str  # $S stands for the selector of the cluster's series
    summary: str


ALERTS = (
    Alert("CounterClusterAbsent", "critical", 5, "absent(counter_ready{$S})", "no node of it is "
        "scraped"),
    Alert("CounterClusterNoLeader", "critical", 1, "sum(counter_raft_is_leader{$S}) == 0",
    "nobody leads: nothing is counted"),
    Alert(
        "CounterClusterQuorumAtRisk", "critical", 5,
        "sum(counter_ready{$S}) < max(counter_raft_members{$S,voter=\"true\"})"
        " and sum(counter_ready{$S}) <= floor(max(counter_raft_members{$S,voter=\"true\"}) / 2) "
        "+ 1",
        "one more loss and nothing is counted",
    ),
    Alert("CounterClusterMemberNotReady", "warning", 15, "counter_ready{$S} == 0",
    "{{ $labels.pod }} is not ready"),
    Alert(
        "CounterClusterClocksDisagree", "warning", 10, "max(counter_clocks_disagree{$S}) > 0",
        "the wall clocks of {{ $value }} members are not what a majority agrees on",
    ),
    Alert(
        "CounterClusterMemberLags", "warning", 10, "max by (peer) "
            "(counter_raft_peer_lag_entries{$S}) > 10000",
        "{{ $labels.peer }} is {{ $value }} entries behind the leader",
    ),
    Alert(
        "CounterClusterLeaderChanges", "warning", 0,
        "max(increase(counter_raft_leader_changes_total{$S}[15m])) > 5",
        "the leader changed {{ $value }} times in 15 minutes",
    ),
    Alert("CounterClusterDiskFull", "critical", 1, "counter_disk_full{$S} == 1", "the disk of {{ "
        "$labels.pod }} is nearly full"),
    Alert("CounterClusterDiskFailed", "critical", 0, "counter_disk_failed{$S} == 1",
    "the disk of {{ $labels.pod }} failed"),
    Alert(
        "CounterClusterDiskSlow", "warning", 10,
        "histogram_quantile(0.99, sum by (pod, le) "
        "(rate(counter_disk_job_seconds_bucket{$S}[5m]))) > 0.1",
        "one write in a hundred to the disk of {{ $labels.pod }} takes more than {{ $value }} s",
    ),
    Alert(
        "CounterClusterLoopLags", "warning", 10,
        "histogram_quantile(0.99, sum by (pod, le) "
        "(rate(counter_loop_lag_seconds_bucket{$S}[5m]))) > 0.25",
        "{{ $labels.pod }} gets too little CPU: its clock is {{ $value }} s late",
    ),
    Alert(
        "CounterClusterErrors", "critical", 5,
        "sum(rate(counter_command_errors_total{$S,error=~\"LOADING|UNKNOWN\"}[5m])) / "
        "sum(rate(counter_commands_total{$S}[5m])) > 0.01",
        "{{ $value | humanizePercentage }} of the commands are not executed or of unknown outcome",
    ),
    Alert(
        "CounterClusterSlow", "warning", 10,
        "histogram_quantile(0.99, sum by (le) "
        "(rate(counter_command_duration_seconds_bucket{$S,kind=\"write\"}[5m]))) > 1",
        "one write in a hundred takes more than {{ $value }} s",
    ),
    Alert(
        "CounterClusterConnectionsNearLimit", "warning", 5, "counter_clients_connected{$S} / "
            "counter_clients_limit{$S} > 0.8",
        "{{ $labels.pod }} has {{ $value | humanizePercentage }} of the connections that it "
        "accepts",
    ),
    Alert(
        "CounterClusterMemoryNearLimit", "warning", 5, "counter_state_size_bytes{$S} / "
            "counter_state_limit_bytes{$S} > 0.8",
        "the counters take {{ $value | humanizePercentage }} of what they may; at the limit "
        "nothing new is taken",
    ),
    Alert(
        "CounterClusterUserNearLimit", "warning", 5,
        "max by (user) (counter_user_keys{$S} / counter_user_keys_limit{$S}) > 0.8"
        " or max by (user) (counter_user_size_bytes{$S} / counter_user_limit_bytes{$S}) > 0.8"
        " or max by (user) "
        "(counter_user_producers_size_bytes{$S} / counter_user_limit_bytes{$S}) > 0.8",
        "user {{ $labels.user }} has {{ $value | humanizePercentage }} of the counters or bytes "
        "that it may have; at the limit it makes none",
    ),
    Alert(
        "CounterClusterNoSnapshot", "critical", 5, "counter_snapshot_refused{$S} == 1",
        "{{ $labels.pod }} has too little memory for a snapshot, and its log grows",
    ),
    Alert(
        "CounterClusterValuesMayRepeat", "warning", 1, 'max by (history) '
            '(counter_history_info{$S,reason="recover",history!="$H"}) == 1',
        "history {{ $labels.history }} went on from a survivor's log: values that were handed "
        "out can be handed out again",
    ),
    Alert("CounterClusterCacheStale", "warning", 5, "max(counter_cache_staleness_seconds{$S}) > 30",
    "Redis got nothing for {{ $value }} s"),
    Alert(
        "CounterClusterCertificateExpires", "critical", 15,
        "counter_certificate_not_after_seconds{$S} - time() < 7 * 86400",
        "the certificate of {{ $labels.pod }} ends in {{ $value | humanizeDuration }}",
    ),
)  # fmt: skip

PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Commands", "ops", (("sum by (pod) (rate(counter_commands_total{$S}[$W]))", "{{pod}}"),)),
    ("Errors", "ops", (("sum by (error) (rate(counter_command_errors_total{$S}[$W])) > 0",
    "{{error}}"),)),
    (
        "Duration of commands", "s",
        tuple(
            (f"histogram_quantile({q}, sum by (kind, le) "
                f"(rate(counter_command_duration_seconds_bucket{{$S}}[$W])))", f"{{{{kind}}}} "
                    f"p{q[2:]}")
            for q in ("0.50", "0.99")
        ),
    ),
    ("Who leads", "none", (("counter_raft_is_leader{$S}", "{{pod}}"),)),
    ("Ready", "none", (("counter_ready{$S}", "{{pod}}"),)),
    ("Entries behind the leader", "none", (("counter_raft_peer_lag_entries{$S}", "{{peer}}"),)),
    (
        "Elections and changes of leader, in 5 minutes", "none",
        (
            ("increase(counter_raft_elections_started_total{$S}[5m])", "{{pod}} elections"),
            ("increase(counter_raft_leader_changes_total{$S}[5m])", "{{pod}} changes"),
        ),
    ),
    (
        "Write and sync of the disk, p99", "s",
        (("histogram_quantile(0.99, sum by (pod, le) "
            "(rate(counter_disk_job_seconds_bucket{$S}[$W])))", "{{pod}}"),),
    ),
    ("Lag of the loop, p99", "s", (("histogram_quantile(0.99, sum by (pod, le) "
        "(rate(counter_loop_lag_seconds_bucket{$S}[$W])))", "{{pod}}"),)),
    ("Log on disk", "bytes", (("counter_log_size_bytes{$S}", "{{pod}}"),
    ("max(counter_log_limit_bytes{$S})", "snapshot due"))),
    ("Counters and producers", "none", (("max(counter_keys{$S})", "counters"),
    ("max(counter_producers{$S})", "producers"))),
    ("Connections", "none", (("counter_clients_connected{$S}", "{{pod}}"),)),
    ("Age of the cache", "s", (("counter_cache_staleness_seconds{$S}", "{{pod}}"),)),
    ("What is refused", "ops", (("sum by (reason) (rate(counter_refusals_total{$S}[$W])) > 0",
    "{{reason}}"),)),
    ("Days until the certificate ends", "d", (("(counter_certificate_not_after_seconds{$S} - "
        "time()) / 86400", "{{pod}}"),)),
    ("Memory", "bytes", (("process_resident_memory_bytes{$S}", "{{pod}}"),)),
    ("CPU", "none", (("rate(process_cpu_seconds_total{$S}[$W])", "{{pod}}"),)),
)  # fmt: skip


def _selected(query: str, cluster: Cluster) -> str:
    """`$H`: the acknowledged history. `$W`: a window that holds several scrapes, however rare they
    are; with fewer than two a rate is empty."""
    query = query.replace("$W", f"{max(60, 4 * _seconds(cluster.spec.monitoring.interval))}s")
    query = query.replace(
        "$H",
        cluster.acknowledged_history if HISTORY.fullmatch(cluster.acknowledged_history) else "none",
    )
    return query.replace("$S", f'namespace="{cluster.namespace}",{LABEL}="{cluster.name}"')


def _seconds(interval: str) -> int:
    return int(interval[:-1]) * {"s": 1, "m": 60}[interval[-1]]


def _metadata(cluster: Cluster, name: str, **more: str) -> dict[str, Any]:
    found = metadata(cluster, name, names.NODE)
    return {**found, "labels": {**cluster.spec.monitoring.labels, **more, **found["labels"]}}


def pod_monitor(cluster: Cluster) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "port": "http",
        "path": "/metrics",
        "interval": cluster.spec.monitoring.interval,
        "relabelings": [{"targetLabel": LABEL, "replacement": cluster.name}],
    }
    if cluster.spec.tls.enabled:
        authorities = {"secret": {"name": f"{cluster.name}-client", "key": "ca.crt"}}
        endpoint |= {
            "scheme": "https",
            "tlsConfig": {
                "ca": authorities,
                "serverName": f"{cluster.name}.{cluster.namespace}.svc",
            },
        }
    return {
        "apiVersion": API,
        "kind": "PodMonitor",
        "metadata": _metadata(cluster, cluster.name),
        "spec": {
            "selector": {"matchLabels": names.selector(cluster.name, names.NODE)},
            "podMetricsEndpoints": [endpoint],
        },
    }


def rules(cluster: Cluster) -> dict[str, Any]:
    wanted = [
        a for a in ALERTS if cluster.spec.cache.enabled or a.name != "CounterClusterCacheStale"
    ]
    groups = [{"name": "countercluster", "rules": [_rule(alert, cluster) for alert in wanted]}]
    return {
        "apiVersion": API,
        "kind": "PrometheusRule",
        "metadata": _metadata(cluster, cluster.name),
        "spec": {
            "groups": [] if cluster.spec.hibernated else groups
        },  # asleep nothing runs, as was asked for
    }


def _rule(alert: Alert, cluster: Cluster) -> dict[str, Any]:
    base = cluster.spec.monitoring.runbook_url.rstrip("/")
    return {
        "alert": alert.name,
        "expr": _selected(alert.query, cluster),
        "for": f"{alert.minutes}m",
        "labels": {"severity": alert.severity, "namespace": cluster.namespace, LABEL: cluster.name},
        "annotations": {
            "summary": f"CounterCluster {cluster.namespace}/{cluster.name}: {alert.summary}",
            "runbook_url": f"{base or RUNBOOKS}/{alert.name}.md",
        },
    }


def dashboard(cluster: Cluster) -> dict[str, Any]:
    """Grafana's sidecar looks for the label grafana_dashboard."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(cluster, f"{cluster.name}-dashboard", grafana_dashboard="1"),
        "data": {f"{cluster.namespace}-{cluster.name}.json": json.dumps(_board(cluster), indent=1)},
    }


def _board(cluster: Cluster) -> dict[str, Any]:
    return {
        "title": f"CounterCluster {cluster.namespace}/{cluster.name}",
        "uid": f"cc-{cluster.uid}"[:40],
        "tags": ["countercluster"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "query": "prometheus",
                    "label": "Data source",
                }
            ]
        },
        "panels": [_panel(number, panel, cluster) for number, panel in enumerate(PANELS)],
    }


def _panel(
    number: int, panel: tuple[str, str, tuple[tuple[str, str], ...]], cluster: Cluster
) -> dict[str, Any]:
    title, unit, queries = panel
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {
            "refId": chr(ord("A") + n),
            "datasource": source,
            "expr": _selected(query, cluster),
            "legendFormat": legend,
        }
        for n, (query, legend) in enumerate(queries)
    ]
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": source,
        "gridPos": {"h": 8, "w": 8, "x": 8 * (number % 3), "y": 8 * (number // 3)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _is_off(wish: Wish) -> bool:
    return not wish.cluster.spec.monitoring.enabled


def _child(
    api_version: str,
    kind: str,
    name: Callable[[str], str],
    make: Callable[[Cluster], dict[str, Any]],
) -> Child:
    return Child(
        api_version, kind, name, lambda wish: None if _is_off(wish) else make(wish.cluster), _is_off
    )


CHILDREN = (
    _child(API, "PodMonitor", same, pod_monitor),
    _child(API, "PrometheusRule", same, rules),
    _child("v1", "ConfigMap", suffixed("dashboard"), dashboard),
)
