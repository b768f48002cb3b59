"""What a child of a CounterCluster is: the one interface of every module in this room. Pure.

A child has a fixed kind and name. `desired` makes its manifest, or gives None: then it stays as it
is, or is not made yet. `unwanted` says that it must not be there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from countercluster_operator.credentials.secured import PLAIN, Secured
from countercluster_operator.manifest import Manifest
from countercluster_operator.model import Cluster


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What children are made of. `replicas`: pods there should be now; `voters`: members that vote,
    or will; `claim_size`: of the StatefulSet that there is."""

    cluster: Cluster
    replicas: int
    voters: int
    claim_size: str = ""
    secured: Secured = PLAIN


def never(_: Wish) -> bool:
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    api_version: str
    kind: str
    name: Callable[[str], str]
    """From the name of the cluster."""
    desired: Callable[[Wish], Manifest | None]
    unwanted: Callable[[Wish], bool] = never


def same(cluster: str) -> str:
    """The name of a child that is called like its cluster."""
    return cluster


def suffixed(suffix: str) -> Callable[[str], str]:
    return lambda cluster: f"{cluster}-{suffix}"
