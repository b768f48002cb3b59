"""Requests to an API server, their answers, and the paths of kinds."""

from __future__ import annotations

import dataclasses
from typing import Any

ADMIN_TOKEN = "admin-of-the-tests"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said to one request."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    def ok(self) -> dict[str, Any]:
        """The body. Raises AssertionError when the request was refused."""
        assert self.status < 300, f"{self.status}: {self.message}"
        return self.body


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One line of the audit log."""

    user: str  # of a ServiceAccount: its name
    verb: str
    group: str
    resource: str  # with its subresource, as in a Role
    name: str
    status: int
    begin: str
    end: str  # RFC 3339 with microseconds: can be compared
    forbidden: (
        bool  # no right to it; what admission refuses (a namespace that is ending) is 403 as well
    )

    @property
    def writes(self) -> bool:
        return self.verb not in ("get", "list", "watch")


def _request(line: dict[str, Any]) -> Request:
    what = line.get("objectRef") or {}
    resource = what.get("resource", "") + (
        f"/{what['subresource']}" if "subresource" in what else ""
    )
    return Request(
        user=line["user"]["username"].rpartition(":")[2],
        verb=line["verb"],
        group=what.get("apiGroup", ""),
        resource=resource,
        name=what.get("name", ""),
        status=line.get("responseStatus", {}).get("code", 0),
        begin=line["requestReceivedTimestamp"],
        end=line["stageTimestamp"],
        forbidden=line.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
    )


_PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "NetworkPolicy": "networkpolicies",
    "StorageClass": "storageclasses",
    "PriorityClass": "priorityclasses",
}
_CLUSTER_WIDE = {
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "Namespace",
    "Node",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PersistentVolume",
    "StorageClass",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def plural(kind: str) -> str:
    return _PLURALS.get(kind, f"{kind.lower()}s")


def path_of(manifest: dict[str, Any], *, collection: bool = False) -> str:
    """The path of an object, or of the collection it is made in."""
    version, kind, meta = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    path = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if kind not in _CLUSTER_WIDE:
        path += f"/namespaces/{meta.get('namespace', 'default')}"
    path += f"/{plural(kind)}"
    return path if collection else f"{path}/{meta['name']}"
