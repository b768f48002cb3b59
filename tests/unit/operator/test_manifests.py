"""What is installed: rendered, least privileged, restricted, and decoded by the operator as the
schema promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from countercluster_operator.model import Cluster, InvalidSpec, Spec, decode
from countercluster_operator.resources.registry import all_children

from generators.manifests import rendered

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "manifests"


def _documents(path: Path) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def test_install_yaml_is_what_its_parts_make() -> None:
    for name, text in rendered().items():
        assert (MANIFESTS / name).read_text() == text, "run: python3 generators/manifests.py"


def test_every_sample_is_understood() -> None:
    for path in (MANIFESTS / "samples").glob("*.yaml"):
        (body,) = _documents(path)
        body["metadata"] |= {"namespace": "ns", "uid": "u", "generation": 1}
        assert decode(body, "node", "redis").image == "node"


def test_an_upgraded_operator_keeps_the_image_that_a_cluster_was_made_with() -> None:
    body = {
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {},
        "status": {"image": "node:1"},
    }
    assert decode(body, "node:2", "redis").image == "node:1"
    body["spec"] = {"image": "node:3"}
    assert decode(body, "node:2", "redis").image == "node:3"


@pytest.mark.parametrize("spec", [{"replicas": 9}, {"replicas": "many"}, {"storage": 3}])
def test_a_spec_that_makes_no_sense_is_refused_with_the_field(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec, match="spec"):
        decode(
            {
                "metadata": {"name": "c", "namespace": "ns", "uid": "u", "generation": 1},
                "spec": spec,
            },
            "n",
            "r",
        )


def _pod_specs(children: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        c["spec"]["template"]["spec"]
        for c in children
        if c["kind"] in ("StatefulSet", "Deployment")
    ]


def test_a_machine_without_cpu_to_spare_is_no_reason_to_kill_the_operator() -> None:
    """A start takes a second of CPU; with a fiftieth of one that is a minute."""
    for manifest in ("install.yaml", "install-namespaced.yaml"):
        (spec,) = _pod_specs(_documents(MANIFESTS / manifest))
        (container,) = spec["containers"]
        starting, living = container["startupProbe"], container["livenessProbe"]
        assert starting["httpGet"] == living["httpGet"]
        assert starting["periodSeconds"] * starting["failureThreshold"] >= 300
        assert living["periodSeconds"] * living["failureThreshold"] >= 60
        assert all(
            container[f"{kind}Probe"]["timeoutSeconds"] >= 5
            for kind in ("startup", "readiness", "liveness")
        )


def test_pods_fit_the_restricted_standard_and_carry_no_token() -> None:
    children = all_children(Cluster("c", "ns", "u", 1, Spec(), "node", "redis"), 3, 3)
    specs = _pod_specs(children)
    assert len(specs) == 2
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"]
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_names_of_the_contract() -> None:
    children = all_children(Cluster("clicks", "ns", "u", 1, Spec(), "node", "redis"), 3, 3)
    found = {(c["kind"], c["metadata"]["name"]) for c in children}
    assert {
        ("StatefulSet", "clicks"),
        ("Service", "clicks"),
        ("Service", "clicks-peers"),
        ("Deployment", "clicks-cache"),
        ("Service", "clicks-cache"),
        ("Secret", "clicks-client"),
        ("PodDisruptionBudget", "clicks"),
    } <= found


def test_the_disruption_budget_keeps_a_majority_and_one_node_has_none() -> None:
    def budget(voters: int) -> list[int]:
        children = all_children(Cluster("c", "ns", "u", 1, Spec(), "node", "redis"), voters, voters)
        return [c["spec"]["minAvailable"] for c in children if c["kind"] == "PodDisruptionBudget"]

    assert [budget(n) for n in (1, 2, 3, 4, 5, 7)] == [[], [2], [2], [3], [3], [4]]


def test_open_ports_are_a_matter_of_words() -> None:
    """Without TLS a stranger's RAFT.REMOVE is obeyed, passwords or not."""

    def made(tls: dict[str, Any], **more: Any) -> Cluster:
        return decode(
            {
                "metadata": {"name": "c", "namespace": "ns", "uid": "u", "generation": 1},
                "spec": {"tls": tls, **more},
            },
            "n",
            "r",
        )

    for auth in (True, False):
        for words in ({}, {"openPorts": ""}, {"openPorts": "yes"}):
            with pytest.raises(InvalidSpec, match=r"whoever reaches the admin port .* is obeyed"):
                made({"enabled": False, **words}, auth={"enabled": auth})
    assert not made(
        {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"}
    ).spec.tls.enabled
    assert made({"enabled": True}).spec.tls.enabled
