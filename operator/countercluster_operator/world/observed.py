"""What the operator has seen of one CounterCluster, at one moment. Plain values: observe.py fills
them, plan.py and report.py read them."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from countercluster_operator.world.clocks import LogTime, log_time
from countercluster_operator.world.machines import NONE, Loss

MAX_WORDS = 300
"""Of what a node says in words."""


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A member as the leader knows it."""

    node_id: str
    name: str
    voter: bool
    match_index: int = 0
    active: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """The run of the log that a node's state is of, and how it began."""

    id: str
    index: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself (RAFT.STATUS)."""

    node_id: str
    role: str
    term: int = 0
    leader_id: str = ""
    commit_index: int = 0
    last_index: int = 0
    ready: bool = False
    reason: str = ""
    members: tuple[Member, ...] = ()
    trust: str = ""
    """Digest of the authorities that it trusts; empty without TLS."""
    serial: str = ""
    """Of the certificate that it shows."""
    users_digest: str = ""
    """Of its users' file in force; empty from a node that does not tell."""
    users_error: str = ""
    """Why that is not the newest."""
    history: History | None = None
    """None from a cluster below level 4, and from an older node."""
    cache_known: int = 0
    """Redis pods that a leader knows of."""
    cache_connected: int = 0
    """How many of them take what it publishes."""
    cache_error: str = ""
    """Why one of the others does not."""
    log_time: LogTime | None = None
    """None: a version that does not tell."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    name: str
    ordinal: int
    ready: bool = False
    terminating: bool = False
    running: bool = False
    revision: str = ""
    trouble: str = ""  # why it does not run, in the kubelet's words
    status: NodeStatus | None = None
    loss: Loss = NONE  # what is known of the machine of its volume, while it does not answer
    stray: bool = False  # its labels are not ours any more
    uid: str = ""
    age_s: float = 0.0
    killed: str = ""  # when it took too much memory last, in words; it may be running again


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The volume claim of one ordinal."""

    ordinal: int
    owned: bool = True  # it goes when the CounterCluster goes
    bound: bool = True  # there is a volume, which may hold data
    size: str = "1Gi"  # as requested
    uid: str = ""
    volume: str = ""  # name of its PersistentVolume; empty while there is none
    capacity: str = ""  # what the volume really has; empty while nobody says so


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    pods: tuple[Pod, ...] = ()
    set_replicas: int | None = None  # of the StatefulSet; None: there is none
    set_current: bool = False  # its controller has seen its newest spec
    revision: str = ""  # what a new pod would be made from
    claims: tuple[Claim, ...] = ()
    cache_ready: int = 0
    target: int | None = None  # recorded in status
    bootstrap: tuple[str, str] | None = None  # (pod, node id), recorded in status
    recorded_members: tuple[tuple[str, str], ...] = ()  # name and id of each, as recorded in status
    recorded_voters: tuple[str, ...] = ()  # ids
    recovered: str = ""  # recorded in status
    highest_index: int = 0  # that any member was seen at (handed_out.py)
    template_size: str = ""  # of new claims, as the StatefulSet has it
    set_idle_s: float = 0.0  # since anybody wrote the StatefulSet last, its controller as well
    cache_secrets: str = (
        ""  # annotation SECRETS that all of Redis's pods have; empty while they are being replaced
    )
    set_uid: str = ""
    may_keep: bool = (
        True  # the operator may change PersistentVolumes, so that one stays when its claim goes
    )
    replacing: tuple[str, str] | None = (
        None  # member that was given up, and its failure domain, recorded in status
    )
    blind: str = ""  # why no node can be asked, whatever it does
    cache_trouble: str = ""  # why no Redis is ready
    not_made: str = ""  # why the StatefulSet makes no pods
    crowded: str = ""  # that its labels are on too many objects, in words

    @property
    def trouble(self) -> tuple[str, str] | None:
        """What keeps the first pod from starting: reason and text."""
        found = [
            ("", self.not_made),
            *((f"{p.name}: ", p.trouble) for p in self.pods if not p.ready and not p.terminating),
        ]
        return next(
            ((text.partition(":")[0], f"{whose}{text}") for whose, text in found if text), None
        )

    def pod(self, ordinal: int) -> Pod | None:
        return next((p for p in self.pods if p.ordinal == ordinal), None)

    @property
    def recorded(self) -> list[str]:
        return [name for name, _ in self.recorded_members]

    @property
    def leader(self) -> Pod | None:
        """The pod that leads the newest term."""
        leaders = [p for p in self.pods if p.status is not None and p.status.role == "leader"]
        return max(leaders, key=lambda p: p.status.term if p.status else 0, default=None)

    @property
    def not_reached(self) -> str:
        """Why it is not known whether the members serve, in words: nobody can be asked, or ready
        members follow a leader in the newest term that runs and does not answer us."""
        if self.blind or self.leader is not None:
            return self.blind
        said = [p.status for p in self.pods if p.status is not None]
        newest = max((status.term for status in said), default=0)
        followed = {s.leader_id for s in said if s.term == newest and s.ready}
        names = [name for name, node_id in self.recorded_members if node_id in followed]
        if not any(p.name in names and p.running and not p.terminating for p in self.pods):
            return ""
        return (
            f"{names[0]} leads in term {newest}, as members say that are ready; it did not answer "
            f"the operator in time"
        )

    @property
    def log_time(self) -> LogTime | None:
        """The leader's word."""
        leader = self.leader
        return leader.status.log_time if leader is not None and leader.status is not None else None

    @property
    def members(self) -> tuple[Member, ...]:
        """The leader's configuration; empty while no leader is seen."""
        leader = self.leader
        return leader.status.members if leader is not None and leader.status is not None else ()


def _history(found: Any) -> History | None:
    if not isinstance(found, dict) or not re.fullmatch("[0-9a-f]{16}", str(found.get("id"))):
        return None
    return History(
        str(found["id"]), int(found.get("index") or 0), str(found.get("reason"))[:MAX_WORDS]
    )


def node_status(found: dict[str, Any]) -> NodeStatus:
    """From the JSON of RAFT.STATUS."""
    members = tuple(
        Member(m["nodeId"], m["name"], m["voter"], m["matchIndex"] or 0, bool(m["active"]))
        for m in found["members"]
    )
    return NodeStatus(
        node_id=found["nodeId"],
        role=found["role"],
        term=found["term"],
        leader_id=found["leaderId"],
        commit_index=found["commitIndex"],
        last_index=found["lastIndex"],
        ready=found["ready"],
        reason=found["reason"],
        members=members,
        trust=(found.get("tls") or {}).get("trust", ""),
        serial=(found.get("tls") or {}).get("serial", ""),
        users_digest=str(found.get("users_digest") or ""),
        log_time=log_time(found.get("time")),
        users_error=str(found.get("users_error") or "")[:MAX_WORDS],
        history=_history(found.get("history")),
        cache_known=int((found.get("cache") or {}).get("known") or 0),
        cache_connected=int((found.get("cache") or {}).get("connected") or 0),
        cache_error=str((found.get("cache") or {}).get("error") or "")[:MAX_WORDS],
    )
