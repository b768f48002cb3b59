"""The operator may do what it does, and nothing else: asked of the API server's own authorizer,
with the operator's own token."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.apiserver import ApiServer

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "countercluster-system"
ALL = "*"

READ, KEEP = {"get", "list", "watch"}, {"get", "list", "watch", "create", "patch", "delete"}
ALLOWED: dict[tuple[str, str], set[str]] = {
    ("countercluster.io", "counterclusters"): READ,
    ("countercluster.io", "counterclusters/status"): {"get", "patch"},
    ("", "secrets"): KEEP,
    ("", "serviceaccounts"): KEEP,
    ("", "services"): KEEP,
    ("", "pods"): {"list", "watch", "delete"},
    ("", "persistentvolumeclaims"): {"get", "list", "patch", "delete"},
    ("apps", "statefulsets"): KEEP,
    ("apps", "deployments"): KEEP,
    ("policy", "poddisruptionbudgets"): KEEP,
    ("networking.k8s.io", "networkpolicies"): KEEP,
    ("events.k8s.io", "events"): {"create", "list"},
    ("", "configmaps"): {"get", "create", "patch", "delete"},
    ("monitoring.coreos.com", "podmonitors"): {"get", "create", "patch", "delete"},
    ("monitoring.coreos.com", "prometheusrules"): {"get", "create", "patch", "delete"},
}
MACHINES: dict[tuple[str, str], set[str]] = {
    ("", "nodes"): {"list"},
    ("", "persistentvolumes"): {"get", "patch"},
}
"""Cluster-wide; an operator for one namespace has it only where an administrator applied
install-namespaced-machines.yaml."""
IN_ITS_OWN_NAMESPACE = {("coordination.k8s.io", "leases"): {"get", "create", "update"}}
VERBS = (
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
    "escalate",
    "bind",
)
MORE_RESOURCES = [
    ("", "pods/exec"), ("", "pods/attach"), ("", "pods/portforward"), ("", "pods/eviction"), ("",
    "nodes/proxy"), ("", "namespaces"),
    ("", "persistentvolumes/status"), ("storage.k8s.io", "storageclasses"), ("",
    "serviceaccounts/token"), ("", "events"),
    ("apps", "daemonsets"), ("apps", "statefulsets/scale"),
    ("countercluster.io", "counterclusters/finalizers"), ("countercluster.io",
    "counterclusters/scale"),
    ("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("apiextensions.k8s.io", "customresourcedefinitions"), ("admissionregistration.k8s.io",
    "validatingwebhookconfigurations"),
    ("coordination.k8s.io", "leases"), ("certificates.k8s.io", "certificatesigningrequests"),
    ("batch", "jobs"),
]  # fmt: skip


def _may(
    server: ApiServer, token: str, namespace: str, group: str, resource: str, verb: str
) -> bool:
    resource, _, subresource = resource.partition("/")
    what = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": what},
    }
    answer = server.request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, token=token
    )
    return bool(answer.ok()["status"]["allowed"])


def _granted(server: ApiServer, token: str, namespace: str) -> dict[tuple[str, str], set[str]]:
    """What the authorizer allows, of everything that is asked here."""
    found: dict[tuple[str, str], set[str]] = {}
    everything = dict.fromkeys([*ALLOWED, *MACHINES, *IN_ITS_OWN_NAMESPACE, *MORE_RESOURCES])
    for (group, resource), verb in itertools.product(everything, VERBS):
        if _may(server, token, namespace, group, resource, verb):
            found.setdefault((group, resource), set()).add(verb)
    return found


def test_a_cluster_wide_install_may_do_exactly_this(server: ApiServer, namespace: str) -> None:
    token = server.token(SYSTEM, "countercluster-operator")
    assert _granted(server, token, namespace) == ALLOWED | MACHINES
    assert _granted(server, token, SYSTEM) == ALLOWED | MACHINES | IN_ITS_OWN_NAMESPACE


@pytest.fixture(scope="module")
def namespaced(server: ApiServer) -> str:
    """The namespaced install, in a namespace of its own; its ServiceAccount's token."""
    server.namespace("team-a")
    for manifest in _documents("install-namespaced.yaml", "team-a"):
        server.apply(manifest).ok()
    return server.token("team-a", "countercluster-operator")


def test_a_namespaced_install_may_do_the_same_there_and_nothing_elsewhere(
    server: ApiServer, namespaced: str
) -> None:
    assert _granted(server, namespaced, "team-a") == ALLOWED | IN_ITS_OWN_NAMESPACE
    assert _granted(server, namespaced, "default") == {}
    assert _granted(server, namespaced, "") == {}, "nothing cluster-wide"
    for manifest in _documents("install-namespaced-machines.yaml", "team-a"):
        server.apply(manifest).ok()
    assert _granted(server, namespaced, "default") == MACHINES, (
        "more is for the administrator to give"
    )


def test_a_namespaced_install_has_no_cluster_wide_object() -> None:
    assert {m["kind"] for m in _documents("install-namespaced.yaml")} == {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "Deployment",
        "NetworkPolicy",
    }
    deployment = next(m for m in _documents("install-namespaced.yaml") if m["kind"] == "Deployment")
    environment = {
        e["name"]: e for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert (
        environment["WATCH_NAMESPACES"]["valueFrom"]["fieldRef"]["fieldPath"]
        == "metadata.namespace"
    )


@pytest.mark.parametrize("name", ["install.yaml", "install-namespaced.yaml"])
def test_no_rule_has_a_wildcard_or_opens_a_shell(name: str) -> None:
    for manifest in _documents(name):
        for rule in manifest.get("rules", []):
            assert ALL not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {r for r in rule["resources"] if r.startswith(("pods/", "nodes/"))}


@pytest.mark.parametrize(
    "name", ["install.yaml", "install-namespaced.yaml", "install-namespaced-machines.yaml"]
)
def test_a_dry_run_of_every_manifest_is_accepted_with_all_its_fields(
    server: ApiServer, namespace: str, name: str
) -> None:
    for manifest in _documents(name, namespace):
        answer = server.apply(manifest, dryRun="All", fieldValidation="Strict")
        assert answer.status < 300, answer.message


def test_the_operators_pod_fits_the_restricted_standard(server: ApiServer) -> None:
    standard = "pod-security.kubernetes.io/enforce"
    name = server.namespace(
        "restricted", **{standard: "restricted", f"{standard}-version": "latest"}
    )
    deployment = next(m for m in _documents("install.yaml") if m["kind"] == "Deployment")
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "operator", "namespace": name}
    answer = server.apply(pod, dryRun="All")
    assert answer.status < 300, answer.message
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    answer = server.apply(pod, dryRun="All")
    assert answer.status == 403, "the standard is enforced here at all"
    assert 'violates PodSecurity "restricted:latest"' in answer.message


def _documents(name: str, namespace: str = "my-namespace") -> list[dict[str, Any]]:
    text = (ROOT / "manifests" / name).read_text().replace("my-namespace", namespace)
    return [m for m in yaml.safe_load_all(text) if m]
