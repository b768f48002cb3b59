"""What a node says of itself: the status object, readiness with its reason, the HTTP pages. The
shapes are in docs/internals/node-interface.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from counter_node import __version__
from counter_node.cache.publisher import Publisher
from counter_node.counters.history import Lineage
from counter_node.counters.levels import TIME_LEVEL
from counter_node.raft.types import NONE, Member, NodeId
from counter_node.replica.replica import Replica
from counter_node.security.tls import Tls
from counter_node.settings import Settings
from counter_node.users.access import Access

Page = Callable[[], tuple[HTTPStatus, str, bytes]]


class Links(Protocol):
    def connected(self) -> dict[NodeId, bool]: ...


class Ready(Protocol):
    """What readiness is judged by."""

    replica: Replica
    failed: str
    stopping: bool

    @property
    def removed(self) -> bool: ...


class Reported(Ready, Protocol):
    """What the status is read from."""

    settings: Settings
    id: NodeId
    cache: Publisher | None
    access: Access
    tls: Tls | None

    @property
    def peers(self) -> Links: ...

    def role_name(self) -> str: ...

    def unready(self) -> str: ...


class Scraped(Protocol):
    def page(self) -> bytes: ...


class Paged(Reported, Protocol):
    """What the pages of the HTTP port are made of."""

    started: bool

    @property
    def metrics(self) -> Scraped: ...


class Timed(Protocol):
    replica: Replica


def hex_id(node_id: int) -> str:
    return f"{node_id:016x}" if node_id != NONE else ""


def role_of(replica: Replica) -> str:
    raft = replica.raft
    if not raft.membership.members:
        return "waiting"
    if raft.id in raft.membership.removed:
        return "removed"
    # a learner also while the entry that adds this node is still on its way
    return str(raft.role) if replica.is_voter else "learner"


def unready_reason(node: Ready) -> str:
    """Empty when ready. Ready = a voter that can serve: it knows the leader, has applied what it
    knows committed, and its gateway is registered."""
    replica = node.replica
    if node.failed:
        return node.failed
    if replica.disk_is_late:
        return "the disk has not answered for an election timeout"
    if node.stopping:
        return "shutting down"
    if node.removed or role_of(replica) == "removed":
        return "removed from the cluster; start with an empty data directory to join again"
    if not replica.raft.membership.members:
        return "waits to be joined to a cluster"
    if not replica.is_voter:
        return "learner, not a voter yet"
    if replica.raft.leader == NONE:
        return "no leader known"
    if replica.applying.restoring:
        return f"puts the snapshot of entry {replica.applied} in force"
    if not replica.gateway.registered:
        return "gateway not registered yet"
    if replica.applied < replica.raft.log.committed:
        return f"applying: at {replica.applied} of {replica.raft.log.committed}"
    return ""


def _member(node: Reported, member: Member) -> dict[str, Any]:
    leadership = node.replica.raft.leadership
    progress = leadership.progress.get(member.id) if leadership is not None else None
    me = member.id == node.id
    return {
        "nodeId": hex_id(member.id),
        "name": member.name,
        "peer": member.peer,
        "resp": member.resp,
        "voter": member.voter,
        "matchIndex": progress.match if progress is not None else None,
        "active": None if progress is None else me or node.peers.connected().get(member.id, False),
    }


def _history(lineage: Lineage) -> dict[str, Any] | None:
    if not lineage:
        return None
    now, parent = lineage[-1], lineage[-2].id if len(lineage) > 1 else ""
    return {"id": now.id, "parent": parent, "index": now.index, "reason": now.reason}


def status(node: Reported) -> dict[str, Any]:
    replica, cache = node.replica, node.cache
    raft = replica.raft
    reason = node.unready()
    return {
        "clusterId": node.settings.cluster_id,
        "nodeId": hex_id(node.id),
        "name": node.settings.name,
        "version": __version__,
        "level": {"cluster": replica.machine.level, "node": replica.governor.knows},
        "history": _history(node.replica.machine.lineage),
        "role": node.role_name(),
        "term": raft.term,
        "leaderId": hex_id(raft.leader),
        "commitIndex": raft.log.committed,
        "appliedIndex": replica.applied,
        "lastIndex": raft.log.last_index,
        "snapshotIndex": raft.snapshot.index,
        "diskFull": replica.room.full or replica.jobs.snapshot_waits,
        "ready": not reason,
        "reason": reason,
        "members": [_member(node, m) for m in raft.membership.members],
        "time": time_status(node),
        "tls": None
        if node.tls is None
        else {"trust": node.tls.current.trust, "serial": node.tls.current.serial},
        "users_digest": node.access.file.digest,
        "users_error": node.access.file.error,
        "cache": {
            "configured": cache is not None,
            "connected": cache.connected if cache is not None else 0,
            "publishedIndex": cache.published_index if cache is not None else 0,
            "known": cache.known if cache is not None else 0,
            "error": cache.error if cache is not None else "",
        },
    }


def time_status(node: Timed) -> dict[str, Any]:
    """Of the clocks only a leader knows; a witness is what this node has heard.
    docs/internals/time.md."""
    replica = node.replica
    machine, keeper, time, raft = replica.machine, replica.keeper, replica.time, replica.raft
    now, jumps = time.now(), machine.jumps
    ids = [m.id for m in raft.membership.members]
    leads = replica.is_leader and machine.level >= TIME_LEVEL
    offsets = keeper.offsets_ms(ids, machine) if leads else {}
    rates = keeper.rates_ppm() if leads else {}
    agreed = keeper.agreed(raft.voters) if leads else None
    apart = keeper.apart(raft.voters, ids) if leads else []
    return {
        "elapsedMs": now,
        "offsetMs": machine.offset_ms,
        "utcMs": now + machine.offset_ms,
        "gap": machine.gap,
        "calendarAgreed": machine.calendar_agreed,
        "jumps": jumps[0],
        "jumpedMs": jumps[1],
        "note": "searched" if keeper.looking else "none" if time.note is None else "known",
        "agreed": None if not leads else agreed is not None,
        "apart": [hex_id(n) for n in apart],
        "refusedJumpMs": keeper.refused_jump_ms if leads else 0,
        "runsOff": [hex_id(n) for n in keeper.runs_off(raft.voters)] if leads else [],
        "clocks": [
            {
                "nodeId": hex_id(m.id),
                "name": m.name,
                "offsetMs": offsets[m.id],
                "ratePpm": rates.get(m.id),
            }
            for m in raft.membership.members
            if m.id in offsets
        ],
        "witnesses": sorted(keeper.witnesses()),
    }


def pages(node: Paged) -> Mapping[str, Page]:
    def text(ok: bool, body: str) -> tuple[HTTPStatus, str, bytes]:
        return (
            HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE,
            "text/plain",
            (body + "\n").encode(),
        )

    def ready() -> tuple[HTTPStatus, str, bytes]:
        reason = node.unready()
        return text(not reason, reason or "ready")

    return {
        "/livez": lambda: text(True, "alive"),
        "/startupz": lambda: text(node.started, "started" if node.started else "starting"),
        "/readyz": ready,
        "/status": lambda: (
            HTTPStatus.OK,
            "application/json",
            json.dumps(status(node), indent=2).encode() + b"\n",
        ),
        "/metrics": lambda: (
            HTTPStatus.OK,
            "text/plain; version=0.0.4; charset=utf-8",
            node.metrics.page(),
        ),
    }
