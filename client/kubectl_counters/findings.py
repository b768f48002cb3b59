"""What `kubectl counters audit` finds: what is open, to whom, why that matters, and the remedy.
The checks are pure (checks.py, checks_pods.py): facts go in, findings come out.

1. A check looks at facts and never asks. A fact that could not be had is `None`, and the check that
   needs it says so (severity `unknown`) with the right that it takes: what was not seen is never
   called closed.
2. Every finding has an id, which is a heading of docs/operating/audit.md.
3. `high`: somebody who was granted nothing gets in. `medium`: a layer that should be there is
   missing. `low`: worth a look, and so by default. `info`: who may what, for a human to judge.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, NamedTuple

from kubectl_counters.access import Access

Object = dict[str, Any]
SEVERITIES = ("high", "medium", "low", "info", "unknown")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`open`: what is. `to`: whom. `remedy`: what to do, or the right that was missing."""

    id: str
    severity: str
    open: str
    to: str
    why: str
    remedy: str


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """What a port answered to somebody who showed nothing. `port`: its name; `pod`: where."""

    pod: str
    port: str
    plain: bool = False  # it speaks without TLS
    old: str = ""  # a version before 1.2 that it agreed to
    weak: str = ""  # a suite without forward secrecy or authenticated encryption that it agreed to
    answered: bool = False  # it did what only somebody known may ask for


class Unreached(NamedTuple):
    """A port that no connection could be made to."""

    pod: str
    port: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Lists are `None` where they could not be read."""

    cluster: Object
    now: datetime.datetime
    pods: list[Object] | None = None  # of nodes and Redis
    services: list[Object] | None = None  # all of the namespace
    policies: list[Object] | None = None  # NetworkPolicies, all of the namespace
    namespace: Object | None = None
    operators: list[Object] | None = None  # Deployments of operators, anywhere
    admission: list[Object] | None = None  # ValidatingAdmissionPolicies
    access: Access | None = None
    probes: tuple[Probe, ...] = ()
    unreached: tuple[Unreached, ...] = ()

    @property
    def spec(self) -> Object:
        found: Object = self.cluster["spec"]
        return found

    @property
    def name(self) -> str:
        return str(self.cluster["metadata"]["name"])

    def enabled(self, part: str) -> bool:
        return bool((self.spec.get(part) or {}).get("enabled"))


def unseen(id: str, what: str, right: str) -> Finding:
    return Finding(
        id,
        "unknown",
        f"{what} not seen",
        "",
        "you may not read it, so nothing is known of it",
        f"run it with the right to {right}",
    )
