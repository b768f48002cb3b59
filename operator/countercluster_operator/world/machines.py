"""Which members are lost with their machines. Pure: what the API shows of volumes and machines goes
in.

1. A volume is bound to a machine when its PersistentVolume says so: every term of its nodeAffinity
   names machines. A volume that a zone, or anybody, can reach is never lost with a machine.
2. It is lost when each of its machines is gone from the API, or has not been ready, for as long as
   spec.healing gives it. Machines that are full, cordoned or tainted are there. What the scheduler
   says is never read.
3. Where more than half of the machines of a zone are not ready, the zone has an outage, and nothing
   in it is lost: it comes back whole, one machine after the other. So the time that a machine is
   given begins again when the outage is over. A machine that is gone from the API is no outage:
   somebody took it away.
4. What cannot be read is not known, and what is not known is not lost.
5. Claims are made by anybody in their namespace, and name what they like. A volume counts when it
   is bound to the very claim that names it. A claim without a volume holds nothing yet: it is given
   up without a place in the healing budget, which others need for what they really lost.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
OF_ONE_MACHINE = frozenset(
    {
        HOSTNAME,
        "metadata.name",
        "topology.topolvm.io/node",
        "topology.hostpath.csi/node",
        "openebs.io/nodename",
    }
)
"""Keys of nodeAffinity whose value names one machine: Kubernetes' own, and those of drivers whose
volumes are disks of a machine."""
SELECTED = "volume.kubernetes.io/selected-node"
MAX_NAME = 253
"""Characters of a machine's name."""
UNREADABLE = (
    "the operator may not read Nodes and PersistentVolumes: it cannot tell whether a "
    "machine is gone (docs/operating/install.md)"
)

Moment = datetime.datetime
Manifest = Mapping[str, Any]
Gone = dict[str, tuple[Moment, Moment]]
"""Since when a machine has been away, and when it was last asked for."""
ASKED_FOR = datetime.timedelta(seconds=180)
"""A machine that nobody asked for in so long may have been there meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """Of one member's volume. `seconds`: for how long its machine has been gone or not ready; 0
    while it is no loss. `why`: in words; also where it is no loss although the machine does not
    answer. `domain`: what fails together."""

    seconds: float = 0.0
    why: str = ""
    domain: str = ""


NONE = Loss()


def tied_to(volume: Manifest) -> frozenset[str]:
    """Names of the machines that the volume can be used on; empty when it is bound to none."""
    found: set[str] = set()
    for term in ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get(
        "nodeSelectorTerms"
    ) or []:
        rules = [*(term.get("matchExpressions") or []), *(term.get("matchFields") or [])]
        machines = [
            set(r.get("values") or [])
            for r in rules
            if r["key"] in OF_ONE_MACHINE and r["operator"] == "In"
        ]
        if not machines:
            return frozenset()
        found |= set.intersection(*machines) or machines[0]
    return frozenset(found)


def is_of(volume: Manifest, claim_uid: str) -> bool:
    """Whether the volume is bound to that very claim."""
    return ((volume.get("spec") or {}).get("claimRef") or {}).get("uid") == claim_uid


def zone_of(volume: Manifest | None) -> str:
    """The zone that a volume names beside its machine."""
    for term in (
        ((volume or {"spec": {}})["spec"].get("nodeAffinity") or {}).get("required") or {}
    ).get("nodeSelectorTerms") or []:
        for rule in term.get("matchExpressions") or []:
            if rule["key"] == ZONE and len(rule.get("values") or []) == 1:
                return str(rule["values"][0])
    return ""


def _ready(node: Manifest) -> tuple[bool, Moment | None]:
    """Whether it is, and since when. Of a machine that has reported nothing yet nothing bad is
    thought."""
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Ready":
            since = condition.get("lastTransitionTime")
            return condition["status"] == "True", datetime.datetime.fromisoformat(
                since
            ) if since else None
    return True, None


def _stuck(pod: Manifest, now: Moment) -> bool:
    """It does not end in its time, or finds no machine. An ordinary restart does neither, and is
    nothing to tell of."""
    ending = pod["metadata"].get("deletionTimestamp")
    if ending:
        return now > datetime.datetime.fromisoformat(ending)
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)


class Machines:
    """The machines at one moment. `nodes`: None when they could not be read. `gone`: since when
    each of those that were asked for in vain has been away; kept by the caller from one moment to
    the next. `zones`: of machines, remembered in the same way."""

    def __init__(
        self,
        nodes: Iterable[Manifest] | None,
        now: Moment,
        gone: Gone | None = None,
        zones: dict[str, str] | None = None,
    ) -> None:
        self.known = nodes is not None
        self._nodes = list(nodes or ())
        self._now = now
        self._gone = {} if gone is None else gone
        self._zones = {} if zones is None else zones
        for node in self._nodes:
            if zone := self._zone(node):
                self._zones[node["metadata"]["name"]] = zone
        asked = {n for n, (_, last) in self._gone.items() if now - last < ASKED_FOR}
        for name in [n for n in self._gone if n not in asked or self._find(n)]:
            del self._gone[name]

    def loss(self, pod: Manifest, claim: Manifest | None, volume: Manifest | None) -> Loss:
        """What is known of the volume of a pod that does not answer. `volume`: None when it could
        not be read, or is not there."""
        if not self.known:
            return Loss(why=UNREADABLE) if _stuck(pod, self._now) else NONE
        names = self._names(claim, volume)
        if isinstance(names, str):
            return Loss(why=names)
        if not names:
            return self._elsewhere(pod)
        found = {name: self._find(name) for name in names}
        if any(_ready(node)[0] for nodes in found.values() for node in nodes):
            return NONE
        away = [self._away_s(name, nodes) for name, nodes in found.items()]
        domain = self._domain(sorted(names)[0], volume)
        words = ", ".join(
            f"{name} {'is not ready' if nodes else 'is gone from the API'}"
            for name, nodes in sorted(found.items())
        )
        why = f"its volume is on a machine that does not serve: {words}"
        if any(found.values()) and (outage := self._outage(domain)):
            return Loss(0.0, f"{why}; {outage}", domain)
        lost_s = min(away)
        if any(found.values()) and (calm := self._calm_since(domain)) is not None:
            lost_s = min(lost_s, max(0.0, (self._now - calm).total_seconds()))
        return Loss(lost_s, why, domain if volume is not None else "")  # rule 5

    def silent(self, domain: str) -> bool:
        """Whether it is a zone that has machines, and none of them is ready."""
        inside = [n for n in self._nodes if domain and self._zone(n) == domain]
        return bool(inside) and not any(_ready(n)[0] for n in inside)

    def _names(self, claim: Manifest | None, volume: Manifest | None) -> frozenset[str] | str:
        """The machines of the volume, or why nothing can be said of it."""
        if claim is None:
            return frozenset()
        wanted = claim["spec"].get("volumeName")
        if not wanted:
            promised = (claim["metadata"].get("annotations") or {}).get(SELECTED)
            return frozenset({promised} if promised and len(promised) <= MAX_NAME else ())
        if volume is None:
            return f"its PersistentVolume {wanted} cannot be read, or is gone"
        if not is_of(volume, claim["metadata"].get("uid", "")):
            return f"its claim names PersistentVolume {wanted}, which is not bound to it"
        return tied_to(volume)

    def _elsewhere(self, pod: Manifest) -> Loss:
        """Its volume can go elsewhere; Kubernetes lets the pod follow when it is sure of the
        machine's end."""
        name = (pod.get("spec") or {}).get("nodeName")
        nodes = self._find(name) if name else []
        if nodes and not any(_ready(n)[0] for n in nodes):
            how = (
                "delete the Node, or taint it node.kubernetes.io/out-of-service, when it is "
                "sure to be off"
            )
            return Loss(why=f"its machine {name} is not ready; its volume can go elsewhere: {how}")
        return NONE

    def _find(self, name: str) -> Sequence[Manifest]:
        """By its name, and by every label that names a machine: whose label was taken off is there
        all the same."""
        return [
            n
            for n in self._nodes
            if n["metadata"]["name"] == name
            or any((n["metadata"].get("labels") or {}).get(key) == name for key in OF_ONE_MACHINE)
        ]

    def _away_s(self, name: str, nodes: Sequence[Manifest]) -> float:
        if not nodes:
            since: Moment | None = self._gone.get(name, (self._now, self._now))[0]
            self._gone[name] = (since or self._now, self._now)
        else:
            times = [_ready(n)[1] for n in nodes]
            since = max((t for t in times if t is not None), default=None)
        return max(0.0, (self._now - since).total_seconds()) if since is not None else 0.0

    def _zone(self, node: Manifest) -> str:
        return str((node["metadata"].get("labels") or {}).get(ZONE, ""))

    def _domain(self, name: str, volume: Manifest | None) -> str:
        """Its zone, where it has one, else the machine itself."""
        zones = [self._zone(n) for n in self._find(name)] + [
            self._zones.get(name, ""),
            zone_of(volume),
        ]
        return next((z for z in zones if z), name)

    def _inside(self, domain: str) -> list[Manifest]:
        """The machines that fail together with it."""
        return [n for n in self._nodes if self._zone(n) == domain] or [
            n for n in self._nodes if not self._zone(n)
        ]

    def _calm_since(self, domain: str) -> Moment | None:
        """Since when enough of the machines there are ready for it to be no outage; None where
        nobody can tell. Those that came back one after the other tell it themselves, also to an
        operator that has just begun."""
        inside = self._inside(domain)
        ready = sorted(
            since for n in inside for there, since in (_ready(n),) if there and since is not None
        )
        untold = sum(there and since is None for there, since in map(_ready, inside))
        wanted = len(inside) - len(inside) // 2 - untold
        return ready[wanted - 1] if len(inside) > 1 and 0 < wanted <= len(ready) else None

    def _outage(self, domain: str) -> str:
        inside = self._inside(domain)
        silent = [n for n in inside if not _ready(n)[0]]
        if len(inside) < 2 or 2 * len(silent) <= len(inside):
            return ""
        where = f"zone {domain}" if self._zone(inside[0]) else "the cluster"
        return (
            f"{len(silent)} of {len(inside)} machines of {where} are not ready, which is an "
            f"outage: nothing is given up (docs/operating/recover.md)"
        )
