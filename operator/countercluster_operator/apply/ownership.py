"""Whose an object is, and who else writes it. Pure.

1. An object of the same name that belongs to somebody else is left alone: server-side apply would
   take it over without a word. It is not used either (`used_by`).
2. One that has our labels and no owner is taken over: its CounterCluster was deleted with
   `--cascade=orphan`, and is back.
"""

from __future__ import annotations

from countercluster_operator import names
from countercluster_operator.manifest import Manifest

NAMED = frozenset({"Secret", "ServiceAccount"})
"""Kinds that a pod template names."""


def stranger(live: Manifest, name: str, uid: str) -> str:
    """Whose it is, where it is not this cluster's; else empty."""
    meta = live["metadata"]
    owner = next((o for o in meta.get("ownerReferences") or [] if o.get("controller")), None)
    if owner is not None:
        return "" if owner["uid"] == uid else f"belongs to {owner['kind']} {owner['name']}"
    ours = names.selector(name, "").items() - {(names.LABEL_COMPONENT, "")}
    own = any(o["uid"] == uid for o in meta.get("ownerReferences") or [])
    return (
        ""
        if own or ours <= (meta.get("labels") or {}).items()
        else "was there already and is not the operator's"
    )


def edited(live: Manifest) -> bool:
    """Somebody else owns a field of it that is not of its status."""
    return bool(_others(live))


def last_editor(live: Manifest) -> str:
    """Who of the others wrote it last, as the API server has the name; empty where it has none."""
    found = max(_others(live), key=lambda f: str(f.get("time", "")), default=None)
    name = str(found["manager"]) if found is not None else ""
    return "" if name == "unknown" else name


def _others(live: Manifest) -> list[Manifest]:
    fields = live["metadata"].get("managedFields") or []
    return [
        f
        for f in fields
        if f.get("manager") != names.FIELD_MANAGER and f.get("subresource") != "status"
    ]


def used_by(manifest: Manifest) -> set[str]:
    """The Secrets and the ServiceAccount that the pods of a workload use; nothing for any other
    kind."""
    pod = (manifest.get("spec") or {}).get("template", {}).get("spec") or {}
    account = pod.get("serviceAccountName")
    mounted = [v["secret"]["secretName"] for v in pod.get("volumes") or [] if "secret" in v]
    return {f"Secret {name}" for name in mounted} | (
        {f"ServiceAccount {account}"} if account else set()
    )
