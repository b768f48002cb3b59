"""Checks of `kubectl counters audit`: the spec, the certificates and the network. Pure (findings.py
has the rules)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

from kubectl_counters import checks_pods
from kubectl_counters.findings import SEVERITIES, Facts, Finding, Object, Unreached, unseen

WARN_DAYS, LATE_DAYS = 21, 7
OPEN_TO_PODS = (
    ("clients", "clients-any", "the clients' port and Redis"),
    ("scrapers", "metrics-open", "metrics and status, without login"),
)


def audit(facts: Facts) -> list[Finding]:
    """The gravest first."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


# --- the spec -------------------------------------------------------------------------------------


def _spec(facts: Facts) -> Iterator[Finding]:
    if not facts.enabled("tls"):
        yield Finding(
            "tls-off",
            "high",
            "all ports are plain text; the admin and the peers' port obey",
            "everybody who reaches them",
            "a stranger reads passwords and counters, removes members, or takes a member's place",
            "make a CounterCluster with spec.tls.enabled and move the clients; it cannot be "
            "switched on later",
        )
    if not facts.enabled("auth"):
        yield Finding(
            "login-off",
            "high",
            "the clients' port and Redis",
            "everybody who reaches them",
            "no password is asked for, so anybody counts and deletes",
            "make a CounterCluster with spec.auth.enabled and move the clients; it cannot be "
            "switched on later",
        )
    else:
        yield from _users(facts)
    network = facts.spec.get("network") or {}
    for field, id, what in OPEN_TO_PODS:
        if not network.get(field):
            yield Finding(
                id,
                "low",
                what,
                "every pod of the cluster",
                f"spec.network.{field} names nobody, so the NetworkPolicy admits all",
                f"name the pods in spec.network.{field}",
            )


def _users(facts: Facts) -> Iterator[Finding]:
    auth = facts.spec.get("auth") or {}
    yield Finding(
        "default-user",
        "low",
        "every command and every counter",
        f"whoever reads Secret {facts.name}-client",
        "the user default has all rights, whoever uses it",
        "give each application a user of its own in spec.auth.users with the rights it needs",
    )
    for user in auth.get("users") or []:
        words = str(user.get("rules", "")).lower().split()
        commands, keys = (
            {"+@all", "allcommands"} & set(words),
            {"~*", "allkeys", "%rw~*"} & set(words),
        )
        if commands or keys:
            what = " and ".join(
                word
                for word, there in (("every command", commands), ("every counter", keys))
                if there
            )
            yield Finding(
                "user-rights",
                "medium" if commands and keys else "low",
                what,
                f"user {user['name']}",
                f"its rules say {' '.join(sorted(commands | keys))}",
                "name the categories and the patterns of names that it needs",
            )
    if auth.get("aclSecretName"):
        yield Finding(
            "user-file",
            "info",
            "what Secret " + str(auth["aclSecretName"]) + " gives",
            "its users",
            "the audit reads no Secrets",
            "look for +@all and ~* in its users.acl",
        )


def _certificates(facts: Facts) -> Iterator[Finding]:
    if not facts.enabled("tls"):
        return
    known = (facts.cluster.get("status") or {}).get("certificates") or {}
    for field, whose in (
        ("notAfter", "the nodes' certificate"),
        ("authorityNotAfter", "the authority"),
    ):
        if field not in known:
            yield Finding(
                "certificate-ends",
                "unknown",
                f"when {whose} ends",
                "",
                "the status does not tell",
                "see why the operator does not report",
            )
            continue
        days = (
            datetime.datetime.fromisoformat(known[field].replace("Z", "+00:00")) - facts.now
        ).total_seconds() / 86400
        if days < WARN_DAYS:
            yield Finding(
                "certificate-ends",
                "high" if days < LATE_DAYS else "medium",
                f"{whose} ends {known[field]}",
                "",
                "after that nobody can connect, and people switch checks off",
                "see what keeps the operator, or cert-manager, from renewing it",
            )


# --- the network ----------------------------------------------------------------------------------


def _selects(selector: Object, labels: Object) -> bool:
    """Of a NetworkPolicy or a Service: matchLabels and matchExpressions."""
    for one in selector.get("matchExpressions") or []:
        value, values = labels.get(one["key"]), one.get("values") or []
        there = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not there.get(one["operator"], False):
            return False
    return all(
        labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()
    )


def _services(facts: Facts) -> Iterator[Finding]:
    if facts.services is None or facts.pods is None:
        yield unseen("service-exposed", "Services", "list services and pods")
        return
    secured = facts.enabled("tls") and facts.enabled("auth")
    for service in facts.services:
        spec, meta = service["spec"], service["metadata"]
        outside = spec.get("type") in ("LoadBalancer", "NodePort") or spec.get("externalIPs")
        chosen = spec.get("selector") and any(
            _selects({"matchLabels": spec["selector"]}, p["metadata"].get("labels") or {})
            for p in facts.pods
        )
        if outside and chosen:
            ports = ", ".join(str(p["port"]) for p in spec.get("ports") or [])
            ranges = spec.get("loadBalancerSourceRanges") or []
            yield Finding(
                "service-exposed",
                "medium" if secured else "high",
                f"ports {ports} by Service {meta['name']} ({spec.get('type')})",
                ", ".join(ranges)
                if ranges
                else "whoever reaches the machines or the load balancer",
                "NetworkPolicies may see another source address behind it",
                "use a ClusterIP Service, or name loadBalancerSourceRanges",
            )


def _policies(facts: Facts) -> Iterator[Finding]:
    if facts.policies is None or facts.pods is None:
        yield unseen("network-policy", "NetworkPolicies", "list networkpolicies and pods")
        return
    for pod in facts.pods:
        labels = pod["metadata"].get("labels") or {}
        ours = [p for p in facts.policies if _closes(p["spec"], labels)]
        name = pod["metadata"]["name"]
        if not ours:
            yield Finding(
                "network-policy",
                "high",
                f"all ports of {name}",
                "every pod",
                "no NetworkPolicy selects it",
                f"see why the operator does not keep the NetworkPolicies of {facts.name} "
                f"(kubectl counters status)",
            )
        for policy in ours:
            if any(
                not rule.get("from") and not rule.get("ports")
                for rule in policy["spec"].get("ingress") or []
            ):
                yield Finding(
                    "network-policy",
                    "medium",
                    f"all ports of {name}",
                    "everybody",
                    f"NetworkPolicy {policy['metadata']['name']} admits everybody to every port, "
                    f"and policies add up",
                    "delete it, or narrow it",
                )
    yield Finding(
        "network-policy-unproven",
        "info",
        "what NetworkPolicies should close",
        "every pod, if the network does not enforce them",
        "the API does not tell whether it does",
        "from a pod of another namespace, try the nodes' port 7001: it must not open",
    )


def _closes(policy: Object, labels: Object) -> bool:
    """It bounds who reaches a pod with these labels."""
    return "Ingress" in (policy.get("policyTypes") or ["Ingress"]) and _selects(
        policy["podSelector"], labels
    )


def _probed(facts: Facts) -> Iterator[Finding]:
    for probe in facts.probes:
        where = f"port {probe.port} of {probe.pod}"
        if probe.plain and facts.enabled("tls"):
            yield Finding(
                "port-plain",
                "high",
                where,
                "whoever reaches it",
                "it speaks without TLS",
                "see which image runs; report it (SECURITY.md)",
            )
        if probe.old or probe.weak:
            yield Finding(
                "tls-weak",
                "medium",
                f"{where}: {' '.join(filter(None, (probe.old, probe.weak)))}",
                "whoever listens on the way",
                "it agrees to a version or a suite that is broken, without forward secrecy, or "
                "in CBC mode",
                "nodes and Redis of this release do not; roll the cluster to its images",
            )
        if probe.answered and (
            facts.enabled("auth") if probe.port in ("resp", "redis") else facts.enabled("tls")
        ):
            yield Finding(
                "port-answers",
                "high",
                where,
                "whoever reaches it",
                "it obeyed without login or certificate",
                "report it (SECURITY.md)",
            )
    yield from _unreached(facts)


def _unreached(facts: Facts) -> Iterator[Finding]:
    """One for each pod: its ports fail for one reason."""
    ports: dict[str, list[Unreached]] = {}
    for one in facts.unreached:
        ports.setdefault(one.pod, []).append(one)
    for pod, those in ports.items():
        yield Finding(
            "port-unreached",
            "unknown",
            f"ports {', '.join(one.port for one in those)} of {pod} not reached: {those[0].why}",
            "",
            "what they answer is not known",
            "run it with the right to create pods/portforward, while the pod's machine answers",
        )


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _spec,
    _certificates,
    _services,
    _policies,
    _probed,
    checks_pods.pods,
    checks_pods.namespace,
    checks_pods.restrictions,
    checks_pods.people,
)
