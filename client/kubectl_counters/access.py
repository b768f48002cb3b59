"""Who may what in a namespace, from the roles and bindings of RBAC. Pure.

Left out are those who may do everything by design: the group system:masters, Kubernetes' own users
(`system:…`) and the ServiceAccounts of kube-system. What other authorizers grant is not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

Object = dict[str, Any]
ACCOUNT = "system:serviceaccount:"
EVERYBODY = (
    "system:authenticated",
    "system:unauthenticated",
    "system:serviceaccounts",
    "system:anonymous",
)

Right = tuple[str, str, str]  # verb, group, resource
WORKLOADS = [
    ("apps", kind) for kind in ("deployments", "statefulsets", "daemonsets", "replicasets")
]
WORKLOADS += [("batch", "jobs"), ("batch", "cronjobs"), ("", "replicationcontrollers")]
RIGHTS: tuple[tuple[str, str, tuple[Right, ...]], ...] = (
    (
        "secret-readers",
        "the Secrets, with passwords and keys",
        tuple((verb, "", "secrets") for verb in ("get", "list", "watch")),
    ),
    (
        "pod-makers",
        "pods that mount its Secrets and volumes",
        (
            ("create", "", "pods"),
            *(
                (verb, group, kind)
                for verb in ("create", "update", "patch")
                for group, kind in WORKLOADS
            ),
        ),
    ),
    (
        "pod-entry",
        "its pods: programs run in them, ports forwarded",
        (
            ("create", "", "pods/exec"),
            ("get", "", "pods/exec"),
            ("create", "", "pods/attach"),
            ("update", "", "pods/ephemeralcontainers"),
            ("patch", "", "pods/ephemeralcontainers"),
            ("create", "", "pods/portforward"),
        ),
    ),
    (
        "cluster-makers",
        "CounterClusters, made and changed",
        tuple(
            (verb, "countercluster.io", "counterclusters")
            for verb in ("create", "update", "patch", "delete")
        ),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """`roles`: of the namespace; and so `bindings`; the others are cluster-wide. `secrets`: names
    that matter."""

    namespace: str
    roles: list[Object]
    bindings: list[Object]
    cluster_roles: list[Object]
    cluster_bindings: list[Object]
    secrets: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """Id, what is open, and to whom."""
        for id, what, rights in RIGHTS:
            yield id, what, sorted({who for right in rights for who in self._who(right)})

    def broad(self, who: Iterable[str]) -> bool:
        """Somebody whom nobody chose is among them."""
        default = f"ServiceAccount {self.namespace}/default"
        return any(one == default or one.partition(" ")[2].startswith(EVERYBODY) for one in who)

    def _who(self, right: Right) -> Iterator[str]:
        for binding in (*self.bindings, *self.cluster_bindings):
            if any(self._gives(rule, right) for rule in self._rules(binding)):
                yield from filter(
                    None, (_subject(s, self.namespace) for s in binding.get("subjects") or [])
                )

    def _rules(self, binding: Object) -> list[Object]:
        ref = binding["roleRef"]
        among = self.cluster_roles if ref["kind"] == "ClusterRole" else self.roles
        return next(
            (role.get("rules") or [] for role in among if role["metadata"]["name"] == ref["name"]),
            [],
        )

    def _gives(self, rule: Object, right: Right) -> bool:
        verb, group, resource = right
        sub = f"*/{resource.partition('/')[2]}" if "/" in resource else resource
        if not (
            {verb, "*"} & set(rule.get("verbs") or [])
            and {group, "*"} & set(rule.get("apiGroups") or [])
        ):
            return False
        if not {resource, sub, "*"} & set(rule.get("resources") or []):
            return False
        named = set(rule.get("resourceNames") or [])
        return not named or resource != "secrets" or bool(named & set(self.secrets))


def _subject(subject: Object, namespace: str) -> str:
    """Empty for those who may do everything by design."""
    kind, name = subject["kind"], subject["name"]
    if name.startswith(ACCOUNT):
        where, _, name = name.removeprefix(ACCOUNT).partition(":")
        kind, subject = "ServiceAccount", {"namespace": where}
    if kind == "ServiceAccount":
        where = subject.get("namespace") or namespace
        return "" if where == "kube-system" else f"ServiceAccount {where}/{name}"
    own = name.startswith("system:") and not name.startswith(EVERYBODY)
    return "" if own else f"{kind} {name}"
