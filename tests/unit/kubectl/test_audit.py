"""The audit's findings, from children as the operator makes them (golden files) and roles as
Kubernetes has them."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl_counters.access import RIGHTS, Access
from kubectl_counters.audit import code, plain, table
from kubectl_counters.checks import audit
from kubectl_counters.findings import Facts, Finding, Probe, Unreached
from rich.console import Console

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "unit" / "operator" / "golden"
NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
Object = dict[str, Any]


def _load(name: str) -> Object:
    found: Object = yaml.safe_load((GOLDEN / f"clicks.{name}.yaml").read_text())
    return found


def _pod(workload: Object, name: str) -> Object:
    template = copy.deepcopy(workload["spec"]["template"])
    return {
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }


def _bound(kind: str, name: str, rules: list[Object], *subjects: Object) -> Access:
    meta = {"name": name}
    role, binding = (
        {"metadata": meta, "rules": rules},
        {"metadata": meta, "roleRef": {"kind": kind, "name": name}, "subjects": [*subjects]},
    )
    if kind == "Role":
        return Access("shop", [role], [binding], [], [], ("clicks-client",))
    return Access("shop", [], [], [role], [binding], ("clicks-client",))


def secured(**changes: Any) -> Facts:
    """As the operator makes it by default, seen by somebody who may see everything."""
    certificates = {"notAfter": "2027-01-20T00:00:00Z", "authorityNotAfter": "2036-11-21T00:00:00Z"}
    spec = {"tls": {"enabled": True}, "auth": {"enabled": True}, "network": {}}
    operator = next(
        d
        for d in yaml.safe_load_all((ROOT / "manifests" / "operator.yaml").read_text())
        if d["kind"] == "Deployment"
    )
    facts = Facts(
        cluster={
            "metadata": {"name": "clicks", "namespace": "shop"},
            "spec": spec,
            "status": {"certificates": certificates},
        },
        now=NOW,
        pods=[
            _pod(_load("statefulset.clicks"), "clicks-0"),
            _pod(_load("deployment.clicks-cache"), "clicks-cache-x"),
        ],
        services=[
            _load("service.clicks"),
            _load("service.clicks-peers"),
            _load("service.clicks-cache"),
        ],
        policies=[_load("networkpolicy.clicks"), _load("networkpolicy.clicks-cache")],
        namespace={
            "metadata": {
                "name": "shop",
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            }
        },
        operators=[operator],
        admission=[],
        access=Access("shop", [], [], [], []),
        probes=(
            Probe("clicks-0", "resp"),
            Probe("clicks-0", "admin"),
            Probe("clicks-cache-x", "redis"),
        ),
    )
    return dataclasses.replace(facts, **changes)


def unreached(*pods: str) -> tuple[Unreached, ...]:
    return tuple(Unreached(pod, port, "forbidden") for pod in pods for port in ("resp", "admin"))


def ids(facts: Facts) -> dict[str, str]:
    """Severity by id; of several the gravest."""
    return {f.id: f.severity for f in reversed(audit(facts))}


def spec(**changes: Any) -> Facts:
    facts = secured()
    return dataclasses.replace(facts, cluster={**facts.cluster, "spec": {**facts.spec, **changes}})


def test_a_cluster_that_is_secured_by_default_passes() -> None:
    found = ids(secured())
    assert set(found.values()) <= {"low", "info"}
    assert set(found) == {
        "default-user",
        "clients-any",
        "metrics-open",
        "network-policy-unproven",
        "image-by-tag",
        "restrictions-unset",
    }
    assert code(audit(secured())) == 0


def test_what_could_not_be_seen_is_never_called_closed() -> None:
    facts = Facts(
        cluster={
            "metadata": {"name": "c"},
            "spec": {"tls": {"enabled": True}, "auth": {"enabled": True}},
        },
        now=NOW,
    )
    unknown = {f.id for f in audit(facts) if f.severity == "unknown"}
    assert unknown == {
        "certificate-ends", "service-exposed", "network-policy", "pod-security",
        "namespace-pod-security", "restrictions-unset", "access",
    }  # fmt: skip
    assert all(
        "the right to" in f.remedy
        for f in audit(facts)
        if f.severity == "unknown" and f.id != "certificate-ends"
    )
    closed = audit(dataclasses.replace(facts, unreached=unreached("c-0", "c-1")))
    texts = [f for f in closed if f.id == "port-unreached"]
    assert [f.open for f in texts] == [
        f"ports resp, admin of c-{n} not reached: forbidden" for n in (0, 1)
    ], "each cause once"
    assert all("pods/portforward" in f.remedy for f in texts)


@pytest.mark.parametrize(
    ("facts", "id", "severity"),
    [
        (spec(tls={"enabled": False}), "tls-off", "high"),
        (spec(auth={"enabled": False}), "login-off", "high"),
        (spec(auth={"enabled": True, "users": [{"name": "a", "rules": "~* +@all"}]}), "user-rights",
        "medium"),
        (spec(auth={"enabled": True, "users": [{"name": "a", "rules": "AllKeys +@read"}]}),
        "user-rights", "low"),
        (spec(auth={"enabled": True, "aclSecretName": "x"}), "user-file", "info"),
        (dataclasses.replace(secured(), now=NOW + datetime.timedelta(days=70)), "certificate-ends",
        "medium"),
        (dataclasses.replace(secured(), now=NOW + datetime.timedelta(days=90)), "certificate-ends",
        "high"),
        (secured(policies=[]), "network-policy", "high"),
        (secured(policies=[_load("networkpolicy.clicks")]), "network-policy", "high"),
        (secured(policies=[*(secured().policies or []), {"metadata": {"name": "all"},
        "spec": {"podSelector": {}, "ingress": [{}]}}]),
         "network-policy", "medium"),
        (secured(probes=(Probe("clicks-0", "http", plain=True),)), "port-plain", "high"),
        (secured(probes=(Probe("clicks-0", "resp", old="TLSv1.1 AES128-SHA"),)), "tls-weak",
        "medium"),
        (secured(probes=(Probe("clicks-0", "resp", weak="TLSv1.2 AES128-SHA"),)), "tls-weak",
        "medium"),
        (secured(probes=(Probe("clicks-0", "admin", answered=True),)), "port-answers", "high"),
        (secured(namespace={"metadata": {"name": "shop", "labels": None}}),
        "namespace-pod-security", "low"),
        (secured(operators=[]), "restrictions-unset", "unknown"),
        (secured(unreached=unreached("clicks-0")), "port-unreached", "unknown"),
    ],
)  # fmt: skip
def test_each_fault_is_found(facts: Facts, id: str, severity: str) -> None:
    assert ids(secured()).get(id) != severity
    assert ids(facts)[id] == severity
    assert code(audit(facts)) == int(severity in ("high", "medium"))


def test_a_service_that_leads_outside_is_found_also_under_another_name() -> None:
    theirs = {**_load("service.clicks"), "metadata": {"name": "theirs"}}
    theirs["spec"] = {
        **theirs["spec"],
        "type": "NodePort",
        "selector": {"app.kubernetes.io/instance": "clicks"},
    }
    assert ids(secured(services=[theirs]))["service-exposed"] == "medium"
    plain_text = dataclasses.replace(spec(tls={"enabled": False}), services=[theirs])
    assert ids(plain_text)["service-exposed"] == "high"
    other = {**theirs, "spec": {**theirs["spec"], "selector": {"app": "shop"}}}
    assert "service-exposed" not in ids(secured(services=[other]))


@pytest.mark.parametrize(
    ("change", "severity"),
    [
        ({"hostNetwork": True}, "high"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "high"),
        ({"containers": [{"image": "x", "securityContext": {"privileged": True}}]}, "high"),
        ({"containers": [{"image": "x"}]}, "medium"),
        ({"initContainers": [{"image": "x"}]}, "medium"),
        ({"securityContext": {}}, "medium"),
    ],
)
def test_a_pod_that_was_changed_on_its_way_is_found(change: Object, severity: str) -> None:
    pod = _pod(_load("statefulset.clicks"), "clicks-0")
    assert "pod-security" not in ids(secured(pods=[pod]))
    pod["spec"] |= change
    assert ids(secured(pods=[pod]))["pod-security"] == severity


def test_an_operator_or_a_policy_that_bounds_images_is_seen() -> None:
    (operator,) = secured().operators or []
    bounded = copy.deepcopy(operator)
    bounded["spec"]["template"]["spec"]["containers"][0]["env"].append(
        {"name": "ALLOWED_IMAGES", "value": "ghcr.io/acme/"}
    )
    assert "restrictions-unset" not in ids(secured(operators=[bounded]))
    policy = next(
        yaml.safe_load_all((ROOT / "manifests" / "policies" / "tenants.yaml").read_text())
    )
    assert "restrictions-unset" not in ids(secured(operators=None, admission=[policy]))


READ = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
ANN = {"kind": "User", "name": "ann"}


@pytest.mark.parametrize(
    ("access", "id", "to"),
    [
        (_bound("Role", "r", [READ], ANN), "secret-readers", "User ann"),
        (_bound("ClusterRole", "r", [READ], {"kind": "Group", "name": "dev"}), "secret-readers",
        "Group dev"),
        (_bound("Role", "r", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], ANN),
        "pod-entry", "User ann"),
        (_bound("Role", "r", [{**READ, "resourceNames": ["clicks-client"]}], ANN), "secret-readers",
        "User ann"),
        (_bound("Role", "r", [{"apiGroups": ["apps"], "resources": ["deployments"],
        "verbs": ["patch"]}], ANN), "pod-makers", "User ann"),
        (_bound("Role", "r", [{"apiGroups": [""], "resources": ["*/exec"], "verbs": ["create"]}],
        ANN), "pod-entry", "User ann"),
        (_bound("Role", "r", [{"apiGroups": ["countercluster.io"], "resources": ["counterclusters"],
        "verbs": ["create"]}],
                {"kind": "ServiceAccount", "name": "ci", "namespace": "tools"}), "cluster-makers",
                "ServiceAccount tools/ci"),
        (_bound("Role", "r", [READ], {"kind": "User", "name": "system:serviceaccount:tools:ci"}),
        "secret-readers", "ServiceAccount tools/ci"),
    ],
)  # fmt: skip
def test_who_may_what_is_listed(access: Access, id: str, to: str) -> None:
    (finding,) = [f for f in audit(secured(access=access)) if f.id == id]
    assert (finding.severity, finding.to) == ("info", to)


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "Group", "name": "system:authenticated"},
        {"kind": "Group", "name": "system:serviceaccounts:shop"},
        {"kind": "User", "name": "system:anonymous"},
        {"kind": "ServiceAccount", "name": "default"},
    ],
)
def test_a_right_that_everybody_has_is_grave(subject: Object) -> None:
    assert ids(secured(access=_bound("Role", "r", [READ], subject)))["secret-readers"] == "high"


def test_rights_that_do_not_reach_these_secrets_are_left_out() -> None:
    system = [
        {"kind": "Group", "name": "system:masters"},
        {"kind": "ServiceAccount", "name": "x", "namespace": "kube-system"},
    ]
    for access in (
        _bound("Role", "r", [{**READ, "resourceNames": ["other"]}], ANN),
        _bound("Role", "r", [{**READ, "apiGroups": ["example.com"]}], ANN),
        _bound("Role", "r", [{**READ, "verbs": ["create"]}], ANN),
        _bound("Role", "r", [READ], *system),
    ):
        assert "secret-readers" not in ids(secured(access=access))


def test_the_table_fits_80_columns_and_json_has_every_field() -> None:
    findings = audit(spec(tls={"enabled": False}, auth={"enabled": False}))
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(table(findings))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert all(f.id in shown for f in findings)
    assert shown.index("tls-off") < shown.index("image-by-tag"), "the gravest first"
    assert plain(findings)[0].keys() == {f.name for f in dataclasses.fields(Finding)}


def test_every_id_is_a_paragraph_of_the_page() -> None:
    page = set(
        re.findall(
            r"^### (\S+)$", (ROOT / "docs" / "operating" / "audit.md").read_text(), re.MULTILINE
        )
    )
    source = "".join(
        (ROOT / "client" / "kubectl_counters" / f"{name}.py").read_text()
        for name in ("checks", "checks_pods")
    )
    used = set(re.findall(r'(?:Finding|unseen)\(\s*"([a-z-]+)"', source)) | {
        id for id, _, _ in RIGHTS
    }
    used |= {"clients-any", "metrics-open"}
    assert used == page
