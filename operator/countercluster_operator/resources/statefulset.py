"""The pods of the nodes. Claims are never left to the StatefulSet: a deleted StatefulSet comes back
and must find its data (claims.py). Parallel, because who may join is decided by Raft and not by the
order of starting; OnDelete, because the operator rolls, leader last."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster, Settings
from countercluster_operator.resources import secrets
from countercluster_operator.resources.child import Child, Wish, same
from countercluster_operator.resources.common import (
    SOON_GONE,
    container_security,
    pod_security,
    pull_secrets,
)

DATA = "/data"


def desired(cluster: Cluster, replicas: int, claim_size: str = "") -> dict[str, Any]:
    """`claim_size`: what the StatefulSet's claim template says already, which cannot be changed;
    empty means that it is new."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "spec": {
            "replicas": replicas,
            "serviceName": names.peers_service(cluster.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 3,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            },
            "selector": {"matchLabels": names.selector(cluster.name, names.NODE)},
            "template": _template(cluster),
            "volumeClaimTemplates": [_claim(cluster, claim_size or cluster.spec.storage.size)],
        },
    }


def _template(cluster: Cluster) -> dict[str, Any]:
    extra = cluster.spec.pod_template
    spec: dict[str, Any] = {
        "serviceAccountName": cluster.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **pull_secrets(cluster),
        "terminationGracePeriodSeconds": 30,
        "securityContext": pod_security(),
        "topologySpreadConstraints": [
            _spread(cluster, **c) for c in extra.topology_spread_constraints or _EVENLY
        ],
        "tolerations": [
            *extra.tolerations,
            *(t for t in SOON_GONE if t["key"] not in {e.get("key") for e in extra.tolerations}),
        ],
        "containers": [_container(cluster)],
    }
    if cluster.spec.tls.enabled:
        spec["volumes"] = [secrets.volume("tls", secrets.nodes_secret(cluster))]
    if cluster.spec.auth.enabled:
        spec.setdefault("volumes", []).append(secrets.volume("users", f"{cluster.name}-users"))
    if not extra.topology_spread_constraints:
        spec["affinity"] = _affinity(cluster)
    if extra.node_selector:
        spec["nodeSelector"] = extra.node_selector
    if extra.priority_class_name:
        spec["priorityClassName"] = extra.priority_class_name
    meta: dict[str, Any] = {"labels": {**extra.labels, **names.labels(cluster.name, names.NODE)}}
    if extra.annotations:
        meta["annotations"] = extra.annotations
    return {"metadata": meta, "spec": spec}


_EVENLY: list[dict[str, Any]] = [{"topologyKey": "kubernetes.io/hostname"}]
"""Machines only: a constraint over zones would make the scheduler leave out every machine that has
no zone (see _affinity)."""


def _affinity(cluster: Cluster) -> dict[str, Any]:
    """Other zones are preferred where there are any."""
    term = {
        "topologyKey": "topology.kubernetes.io/zone",
        "labelSelector": {"matchLabels": names.selector(cluster.name, names.NODE)},
    }
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": term}
            ]
        }
    }


def _spread(cluster: Cluster, **given: Any) -> dict[str, Any]:
    """Evenly where that is possible; a cluster on one machine is better than none."""
    selector = {"matchLabels": names.selector(cluster.name, names.NODE)}
    return {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", **given, "labelSelector": selector}


def _container(cluster: Cluster) -> dict[str, Any]:
    mounts = [{"name": "data", "mountPath": DATA}]
    if cluster.spec.tls.enabled:
        mounts.append(secrets.mount("tls", secrets.TLS))
    if cluster.spec.auth.enabled:
        mounts.append(secrets.mount("users", secrets.USERS))
    return {
        "name": "node",
        "image": cluster.image,
        "imagePullPolicy": cluster.spec.image_pull_policy,
        "env": _environment(cluster),
        "ports": [
            {"name": name, "containerPort": number, "protocol": "TCP"}
            for name, number in _ports(cluster).items()
        ],
        "resources": cluster.spec.resources,
        "securityContext": container_security(),
        "startupProbe": _probe(cluster, "/startupz", period=1, failures=300),
        "readinessProbe": _probe(cluster, "/readyz", period=1, failures=2),
        "livenessProbe": _probe(cluster, "/livez", period=10, failures=6),
        "lifecycle": {
            "preStop": {"sleep": {"seconds": 2}}
        },  # until every proxy has heard that this pod is no endpoint any more
        "volumeMounts": mounts,
    }


def _ports(cluster: Cluster) -> dict[str, int]:
    cluster_mode = {"cluster": names.CLUSTER_MODE} if cluster.spec.cluster_mode.enabled else {}
    return {
        "resp": names.RESP,
        **cluster_mode,
        "peer": names.PEER,
        "admin": names.ADMIN,
        "http": names.HTTP,
    }


def _environment(cluster: Cluster) -> list[dict[str, Any]]:
    settings = cluster.spec.settings
    peer = f"$(COUNTER_NAME).{names.peers_service(cluster.name)}.{cluster.namespace}.svc"
    values = {
        # not the UID: volumes that were kept serve a cluster made again
        "CLUSTER_ID": f"{cluster.namespace}/{cluster.name}",
        "DATA_DIR": f"{DATA}/node",
        "ADVERTISE_PEER": f"{peer}:{names.PEER}",
        "ADVERTISE_RESP": f"{peer}:{names.RESP}",
        "TICK_MS": str(settings.tick_ms),
        "ELECTION_TICKS": str(settings.election_ticks),
        "SNAPSHOT_BYTES": str(settings.snapshot_mib << 20),
        "LOG_LEVEL": settings.log_level,
    }
    standard = Settings()
    for key, value, usual in (
        ("MAX_KEYS", settings.max_counters, standard.max_counters),
        ("MAX_PRODUCERS", settings.max_producers, standard.max_producers),
        ("MAX_BYTES", settings.max_state_mib << 20, standard.max_state_mib),
        ("PATIENCE_MS", settings.patience_ms, standard.patience_ms),
        ("UNREADY_CLOSE_S", settings.unready_close_seconds, standard.unready_close_seconds),
        ("MAX_ENTRY_BYTES", settings.max_entry_mib << 20, standard.max_entry_mib << 20),
        ("MAX_PIPELINE_BYTES", settings.max_pipeline_mib << 20, standard.max_pipeline_mib << 20),
        ("CLIENT_BYTES", settings.client_mib << 20, standard.client_mib),
    ):
        if value != usual:  # so that a cluster from before this setting is not rolled
            values[key] = str(value)
    if cluster.spec.cluster_mode.enabled:
        values["CLUSTER_PORT"] = str(names.CLUSTER_MODE)
    if cluster.spec.cache.enabled:
        values["CACHE"] = (
            f"{names.cache_pods_service(cluster.name)}.{cluster.namespace}.svc:{names.REDIS}"
        )
        if cluster.spec.tls.enabled:
            values["CACHE_CA_FILE"] = f"{secrets.TLS}/ca.crt"
        if cluster.spec.auth.enabled:
            values["CACHE_PASSWORD_FILE"] = f"{secrets.USERS}/cache-password"
    if cluster.spec.tls.enabled:
        values["TLS_DIR"] = secrets.TLS
    if cluster.spec.auth.enabled:
        values["ACL_FILE"] = f"{secrets.USERS}/users.acl"
    name = {"name": "COUNTER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [name, *({"name": f"COUNTER_{key}", "value": value} for key, value in values.items())]


def _probe(cluster: Cluster, path: str, *, period: int, failures: int) -> dict[str, Any]:
    scheme = "HTTPS" if cluster.spec.tls.enabled else "HTTP"
    return {
        "httpGet": {"path": path, "port": "http", "scheme": scheme},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _claim(cluster: Cluster, size: str) -> dict[str, Any]:
    storage = cluster.spec.storage
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if storage.storage_class_name:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "metadata": {"name": "data", "labels": names.selector(cluster.name, names.NODE)},
        "spec": spec,
    }


def _desired(wish: Wish) -> dict[str, Any] | None:
    """Not before there is everything that its pods mount."""
    if not wish.secured.can_mount(wish.cluster):
        return None
    return desired(wish.cluster, wish.replicas, wish.claim_size)


CHILDREN = (Child("apps/v1", "StatefulSet", same, _desired),)
