"""The CounterCluster as the operator works with it: the spec with its defaults, decoded strictly,
and who it belongs to."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from countercluster_operator import names, room

MAX_REPLICAS = 7
OPEN_PORTS = "AnyoneWhoReachesThemIsObeyed"
"""The words of a cluster without TLS: its admin and peer ports know nobody, so they obey
everybody."""


OPERATOR_NAMESPACE = "countercluster-system"


class Problem(NamedTuple):
    """What of the spec cannot be done: the reason of the condition, and words."""

    reason: str
    text: str


class InvalidSpec(Exception):
    """The spec makes no sense; the message names the field, its value and what is allowed."""


class Storage(msgspec.Struct, rename="camel", frozen=True):
    size: str = "1Gi"
    storage_class_name: str = ""
    retain: str = "Delete"
    retain_on_scale_in: str = "Delete"


class Cache(msgspec.Struct, rename="camel", frozen=True):
    enabled: bool = True
    replicas: int = 1
    image: str = ""
    memory: str = "64Mi"


_SETTINGS = {
    "tick_ms": "tickMs",
    "election_ticks": "electionTicks",
    "snapshot_mib": "snapshotMiB",
    "log_level": "logLevel",
}
_SETTINGS |= {
    "max_counters": "maxCounters",
    "max_producers": "maxProducers",
    "max_state_mib": "maxStateMiB",
}
_SETTINGS |= {"patience_ms": "patienceMs", "unready_close_seconds": "unreadyCloseSeconds"}
_SETTINGS |= {
    "max_entry_mib": "maxEntryMiB",
    "max_pipeline_mib": "maxPipelineMiB",
    "client_mib": "clientMiB",
}


class Settings(msgspec.Struct, rename=_SETTINGS, frozen=True):
    tick_ms: int = 100
    election_ticks: int = 10
    snapshot_mib: int = 64
    log_level: str = "info"
    max_counters: int = 10_000_000
    max_producers: int = 100_000
    max_state_mib: int = 0
    patience_ms: int = 3_500
    unready_close_seconds: int = 10
    max_entry_mib: int = 8
    max_pipeline_mib: int = 8
    client_mib: int = 0


class PodTemplate(msgspec.Struct, rename="camel", frozen=True):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    priority_class_name: str = ""
    topology_spread_constraints: list[dict[str, Any]] = []


class Rollout(msgspec.Struct, rename="camel", frozen=True):
    strategy: str = "LeaderLast"


class Healing(msgspec.Struct, rename="camel", frozen=True):
    replace_lost_after_seconds: int = 300


class Monitoring(msgspec.Struct, rename="camel", frozen=True):
    enabled: bool = False
    interval: str = "30s"
    labels: dict[str, str] = {}
    runbook_url: str = ""


class Tls(msgspec.Struct, rename="camel", frozen=True):
    enabled: bool = True
    open_ports: str = ""
    secret_name: str = ""
    rotate_authority: str = ""


class SecretKey(msgspec.Struct, frozen=True):
    name: str
    key: str = "password"


class UserLimits(msgspec.Struct, rename="camel", frozen=True):
    """None: none."""

    keys: int | None = None
    bytes: int | None = None
    commands_per_second: int | None = None


class User(msgspec.Struct, rename="camel", frozen=True):
    name: str
    rules: str
    password_secret: SecretKey
    limits: UserLimits = UserLimits()


class Auth(msgspec.Struct, rename="camel", frozen=True):
    enabled: bool = True
    rotate_password: str = ""
    users: list[User] = []
    acl_secret_name: str = ""
    strict_patterns: bool = False


class Network(msgspec.Struct, rename="camel", frozen=True):
    clients: list[dict[str, Any]] = []
    scrapers: list[dict[str, Any]] = []


class Clock(msgspec.Struct, rename="camel", frozen=True):
    max_jump_days: int = 60


class ClusterMode(msgspec.Struct, rename="camel", frozen=True):
    enabled: bool = False


class Recovery(msgspec.Struct, rename="camel", frozen=True):
    survivor: str


class Spec(msgspec.Struct, rename="camel", frozen=True):
    replicas: int = 3
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    resources: dict[str, Any] = {}
    storage: Storage = Storage()
    cache: Cache = Cache()
    paused: bool = False
    hibernated: bool = False
    maintenance: str = ""
    rollout: Rollout = Rollout()
    healing: Healing = Healing()
    recovery: Recovery | None = None
    tls: Tls = Tls()
    auth: Auth = Auth()
    network: Network = Network()
    monitoring: Monitoring = Monitoring()
    settings: Settings = Settings()
    cluster_mode: ClusterMode = ClusterMode()
    clock: Clock = Clock()
    pod_template: PodTemplate = PodTemplate()


class Cluster(msgspec.Struct, frozen=True):
    """One CounterCluster. `image` and `cache_image` are resolved: what the spec says, else what was
    chosen for it when it said nothing."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Spec
    image: str
    cache_image: str
    chosen_image: str = ""
    """For when the spec names none: the operator's default of then, which a newer operator keeps.
    What the spec named meanwhile never gets here."""
    chosen_cache_image: str = ""
    deleting: bool = False
    roll_leader: str = (
        ""  # the annotation that lets a supervised roll restart the leader: names the revision
    )
    acknowledged_history: str = (
        ""  # the annotation that says that a recovery was dealt with: names its history
    )
    operator_namespace: str = (
        OPERATOR_NAMESPACE  # where the operator runs: only from there may it call
    )
    pull_secrets: tuple[str, ...] = ()  # in its namespace: with these its pods' images are pulled

    @property
    def owner(self) -> dict[str, Any]:
        return {
            "apiVersion": "countercluster.io/v1alpha1",
            "kind": "CounterCluster",
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }


def _chosen(status: dict[str, Any], spec: Spec, image: str, cache_image: str) -> tuple[str, str]:
    """The images for a spec that names none. A status of version 0.1.0 says only what was in use,
    which the spec may have named."""
    if "chosen" in status:
        found = status["chosen"]
        return found.get("image") or image, found.get("cacheImage") or cache_image
    used = "" if spec.image else status.get("image", "")
    cache_used = "" if spec.cache.image else status.get("cacheImage", "")
    return used or image, cache_used or cache_image


def not_said(spec: Spec) -> str:
    """What a cluster without TLS lacks; empty when it lacks nothing."""
    if spec.tls.enabled or spec.tls.open_ports == OPEN_PORTS:
        return ""
    return (
        "spec.tls.enabled is false, so whoever reaches the admin port or the peers' port of a "
        "node is obeyed, whatever spec.auth says: "
        f"make the cluster with TLS, or say spec.tls.openPorts: {OPEN_PORTS}"
    )


def decode(
    body: dict[str, Any],
    default_image: str,
    default_cache_image: str,
    operator_namespace: str = OPERATOR_NAMESPACE,
    pull_secrets: tuple[str, ...] = (),
) -> Cluster:
    """Raises InvalidSpec for what the API server's schema let through."""
    meta, status = body["metadata"], body.get("status") or {}
    try:
        spec = msgspec.convert(body.get("spec") or {}, Spec)
    except msgspec.ValidationError as error:
        raise InvalidSpec(f"spec: {error}") from None
    if not 1 <= spec.replicas <= MAX_REPLICAS:
        raise InvalidSpec(f"spec.replicas is {spec.replicas}; 1 to {MAX_REPLICAS}")
    if (problem := not_said(spec)) and not status.get("bootstrap"):
        raise InvalidSpec(problem)  # what an older version has formed goes on, and says so
    if too_much := room.too_much(
        spec.resources, spec.settings.client_mib, spec.settings.max_state_mib
    ):
        raise InvalidSpec(too_much)
    image, cache_image = _chosen(status, spec, default_image, default_cache_image)
    return Cluster(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        generation=meta["generation"],
        spec=spec,
        image=spec.image or image,
        cache_image=spec.cache.image or cache_image,
        chosen_image=image,
        chosen_cache_image=cache_image,
        deleting="deletionTimestamp" in meta,
        roll_leader=(meta.get("annotations") or {}).get(names.ROLL_LEADER, ""),
        acknowledged_history=(meta.get("annotations") or {}).get(names.ACKNOWLEDGED_HISTORY, ""),
        operator_namespace=operator_namespace,
        pull_secrets=pull_secrets,
    )
