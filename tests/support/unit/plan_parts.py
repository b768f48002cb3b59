"""The parts of the small world of the plan (plan_world.py): machines, volumes and pods, and the
JSON by which the API server would show each."""

from __future__ import annotations

import dataclasses
from typing import Any

from countercluster_operator import names
from countercluster_operator.world.machines import HOSTNAME, ZONE

FULL = (
    "0/7 nodes are available: 3 Insufficient cpu, 4 node(s) didn't match PersistentVolume's "
    "node affinity."
)
"""What the scheduler says of a pod whose machine is full. Nothing is lost."""


@dataclasses.dataclass
class Host:
    """A machine of Kubernetes. `silent`: its kubelet says nothing; `dark`: and what ran on it does
    not run."""

    name: str
    zone: str
    silent: bool = False
    dark: bool = False
    gone: bool = False  # from the API
    full: bool = False  # or cordoned, or tainted: nothing starts on it
    since: float = 0.0  # when its readiness changed

    @property
    def serves(self) -> bool:
        return not self.silent and not self.gone


@dataclasses.dataclass
class Disk:
    """A claim and its volume. `host`: where the volume is; empty while nothing was started on
    it."""

    node_id: str
    joined: bool = False  # was a member once
    host: str = ""
    uid: str = ""
    owner: str = ""  # UID of the CounterCluster that the claim goes with


@dataclasses.dataclass
class Machine:
    """A pod and the node in it."""

    ordinal: int
    revision: str
    starts_in: int = 2
    broken: bool = False  # its image does not start
    stray: bool = False  # its labels were taken off
    host: str = ""  # where it was placed; empty: nowhere yet
    dark: bool = False  # its machine is off
    ending: bool = False  # it should have ended, and no kubelet says so
    uid: str = ""

    @property
    def up(self) -> bool:
        return self.starts_in <= 0 and not self.broken and bool(self.host) and not self.dark


class Broken(AssertionError):
    pass


def node_json(host: Host, since: str) -> dict[str, Any]:
    labels = {HOSTNAME: host.name, ZONE: host.zone}
    ready = {
        "type": "Ready",
        "status": "Unknown" if host.silent else "True",
        "lastTransitionTime": since,
    }
    taints = (
        [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}] if host.full else []
    )
    pressure = {"type": "DiskPressure", "status": "False", "lastTransitionTime": since}
    return {
        "metadata": {"name": host.name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"conditions": [pressure, ready]},
    }


def claim_json(ordinal: int, disk: Disk) -> dict[str, Any]:
    spec: dict[str, Any] = {"resources": {"requests": {"storage": "1Gi"}}}
    if disk.host:
        spec["volumeName"] = f"pv-{disk.uid}"
    owners = [{"uid": disk.owner}] if disk.owner else []
    meta = {"name": f"data-c-{ordinal}", "uid": disk.uid, "ownerReferences": owners}
    return {
        "metadata": meta,
        "spec": spec,
        "status": {"phase": "Bound" if disk.host else "Pending"},
    }


def volume_json(disk: Disk, host: Host) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [host.name]}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    return {
        "metadata": {"name": f"pv-{disk.uid}"},
        "spec": {
            "claimRef": {"uid": disk.uid},
            "nodeAffinity": affinity,
            "persistentVolumeReclaimPolicy": "Delete",
        },
    }


def pod_json(pod: Machine, made: str, *, ready: bool) -> dict[str, Any]:
    """`made`: when it was."""
    labels = {**names.labels("c", names.NODE), "controller-revision-hash": pod.revision}
    if pod.stray:
        del labels[names.LABEL_INSTANCE]
    meta: dict[str, Any] = {
        "name": f"c-{pod.ordinal}",
        "uid": pod.uid,
        "labels": labels,
        "creationTimestamp": made,
    }
    if pod.ending:
        meta["deletionTimestamp"] = made
    conditions = [{"type": "Ready", "status": str(ready)}]
    if not pod.host:
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "False",
                "message": FULL,
                "lastTransitionTime": made,
            }
        )
    state = (
        {"running": {}}
        if pod.up or pod.dark
        else {"waiting": {"reason": "ImagePullBackOff" if pod.broken else "ContainerCreating"}}
    )
    status = {
        "conditions": conditions,
        "containerStatuses": [{"name": "node", "state": state}] if pod.host else [],
    }
    return {
        "metadata": meta,
        "spec": {"nodeName": pod.host} if pod.host else {},
        "status": status,
    }
