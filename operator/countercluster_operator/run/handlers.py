"""kopf's part: it watches and authenticates, nothing else. Every event only names a CounterCluster
that needs a pass (docs/concepts/operator.md says why).

`CHILDREN` are the kinds that are watched: pods, and most of resources/registry.py's. A child of any
other kind is read in each pass (apply/children.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kopf

from countercluster_operator import names
from countercluster_operator.run.health import RELIST_S
from countercluster_operator.run.runtime import Runtime
from countercluster_operator.world.api import FEW

MANAGED = f"{names.LABEL_NAME}={names.APP},{names.LABEL_MANAGED}={names.FIELD_MANAGER}"
"""Selects, in the API server, what belongs to a CounterCluster: the Pods and Secrets of others are
none of the operator's business."""

CHILDREN = (
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "secrets"),
    ("", "v1", "serviceaccounts"),
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "deployments"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "networkpolicies"),
)


def register(registry: kopf.OperatorRegistry, runtime: Runtime) -> None:
    """All decorators of the operator."""

    @kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def startup(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        await runtime.start()

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        await runtime.stop()

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def cluster(body: kopf.Body, name: str, type: str | None, **_: Any) -> None:
        runtime.saw(name, names.KIND, dict(body), type)

    async def child(
        body: kopf.Body,
        labels: Mapping[str, str],
        type: str | None,
        resource: kopf.Resource,
        **_: Any,
    ) -> None:
        if owner := labels.get(names.LABEL_INSTANCE):
            runtime.saw(owner, resource.kind or "", dict(body), type)

    for group, version, plural in CHILDREN:
        kopf.on.event(group, version, plural, registry=registry, id=f"child-{plural}")(child)


def configure(settings: kopf.OperatorSettings) -> None:
    """kopf writes nothing: no events, no annotations, no finalizers."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = RELIST_S
    settings.watching.chunk_size = FEW
    for group, version, plural in CHILDREN:
        settings.watching.label_selectors[group, version, plural] = MANAGED
    settings.networking.request_timeout = 30
    settings.persistence.finalizer = f"{names.GROUP}/kopf-is-not-used-for-this"
