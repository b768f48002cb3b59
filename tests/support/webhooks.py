"""A webhook that fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def failing(
    name: str,
    namespace: str,
    kinds: Iterable[tuple[str, list[str]]],
    operations: Sequence[str] = ("CREATE",),
) -> dict[str, Any]:
    """Nobody listens where it points to. `kinds`: of each group the resources."""
    rules = [
        {
            "apiGroups": [group],
            "apiVersions": ["*"],
            "operations": list(operations),
            "resources": resources,
            "scope": "Namespaced",
        }
        for group, resources in kinds
    ]
    hook = {
        "name": "failing.example.com",
        "clientConfig": {"url": "https://127.0.0.1:9/never"},
        "rules": rules,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }
