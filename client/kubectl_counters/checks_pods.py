"""Checks of `kubectl counters audit`: how pods are fenced in, and who may what. Pure (findings.py
has the rules)."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_counters.findings import Facts, Finding, Object, unseen


def pods(facts: Facts) -> Iterator[Finding]:
    if facts.pods is None:
        yield unseen("pod-security", "pods", "list pods")
        return
    for pod in [*facts.pods, *(_template(d) for d in facts.operators or [])]:
        name, faults = pod["metadata"]["name"], sorted(set(_weak(pod["spec"])))
        if faults:
            grave = any(fault in _GRAVE for fault in faults)
            yield Finding(
                "pod-security",
                "high" if grave else "medium",
                f"{name}: {', '.join(faults)}",
                "whoever breaks into it",
                "a way into the pod becomes a way onto the machine",
                "the operator makes pods without this: see who changes them (webhooks)",
            )
        tags = sorted(
            {c["image"] for c in _containers(pod["spec"]) if "@sha256:" not in c["image"]}
        )
        if tags:
            yield Finding(
                "image-by-tag",
                "low",
                f"{name}: {', '.join(tags)}",
                "whoever may push to that registry",
                "a tag can point to another image tomorrow",
                "name images by digest: spec.image, spec.cache.image, RELATED_IMAGE_* of the "
                "operator",
            )


_GRAVE = frozenset({"privileged", "host namespaces", "hostPath"})


def _template(deployment: Object) -> Object:
    name = (
        f"Deployment {deployment['metadata'].get('namespace', '')}/{deployment['metadata']['name']}"
    )
    return {"metadata": {"name": name}, "spec": deployment["spec"]["template"]["spec"]}


def _containers(spec: Object) -> list[Object]:
    return [
        *(spec.get("initContainers") or []),
        *(spec.get("containers") or []),
        *(spec.get("ephemeralContainers") or []),
    ]


def _weak(spec: Object) -> Iterator[str]:
    whole = spec.get("securityContext") or {}
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        yield "host namespaces"
    if any("hostPath" in volume for volume in spec.get("volumes") or []):
        yield "hostPath"
    for container in _containers(spec):
        own = container.get("securityContext") or {}
        if own.get("privileged"):
            yield "privileged"
        if not own.get("runAsNonRoot", whole.get("runAsNonRoot")):
            yield "may run as root"
        if own.get("allowPrivilegeEscalation", True):
            yield "may gain privileges"
        if not own.get("readOnlyRootFilesystem"):
            yield "writable root file system"
        capabilities = own.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or []) or capabilities.get("add"):
            yield "capabilities"
        if (own.get("seccompProfile") or whole.get("seccompProfile") or {}).get("type") not in (
            "RuntimeDefault",
            "Localhost",
        ):
            yield "no seccomp profile"


def namespace(facts: Facts) -> Iterator[Finding]:
    if facts.namespace is None:
        yield unseen("namespace-pod-security", "the namespace's labels", "get namespaces")
        return
    level = (facts.namespace["metadata"].get("labels") or {}).get(
        "pod-security.kubernetes.io/enforce", ""
    )
    if level != "restricted":
        yield Finding(
            "namespace-pod-security",
            "low",
            f"pods beyond the restricted standard ({level or 'no label'})",
            "whoever may create pods there",
            "such a pod can reach the machine, and with it these volumes and keys",
            f"kubectl label namespace {facts.namespace['metadata']['name']} "
            f"pod-security.kubernetes.io/enforce=restricted; these pods fit",
        )


# --- people ---------------------------------------------------------------------------------------


def restrictions(facts: Facts) -> Iterator[Finding]:
    """One that is seen and bounds images is enough."""
    policies = [p for p in facts.admission or [] if _judges(p)]
    if policies:
        return
    if not facts.operators:  # also where it runs under another label
        yield unseen(
            "restrictions-unset", "the operator's settings", "list deployments in its namespace"
        )
        return
    for deployment in facts.operators:
        names = {
            e["name"]
            for c in deployment["spec"]["template"]["spec"]["containers"]
            for e in c.get("env") or []
            if e.get("value")
        }
        if "ALLOWED_IMAGES" not in names:
            yield Finding(
                "restrictions-unset",
                "low",
                "any image, run as a node or as Redis",
                "whoever may create CounterClusters",
                f"ALLOWED_IMAGES is not set for "
                f"{deployment['metadata'].get('namespace', '')}/{deployment['metadata']['name']}",
                "set it, and manifests/policies/tenants.yaml, where tenants may create "
                "CounterClusters but no pods",
            )


def _judges(policy: Object) -> bool:
    rules = (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or []
    return any({"counterclusters", "*"} & set(rule.get("resources") or []) for rule in rules)


def people(facts: Facts) -> Iterator[Finding]:
    if facts.access is None:
        yield unseen(
            "access",
            "who may read Secrets, enter pods and create CounterClusters",
            "list roles, bindings and their cluster-wide kinds",
        )
        return
    for id, what, who in facts.access.rows():
        if who:
            broad = facts.access.broad(who)
            yield Finding(
                id,
                "high" if broad else "info",
                what,
                ", ".join(who),
                "it is as much as to have the counters",
                "take it from groups that everybody is in"
                if broad
                else "see that each of them should",
            )
