"""Who is admitted to the admin port: the operator's pods, in the operator's namespace."""

from __future__ import annotations

from pathlib import Path

import yaml
from countercluster_operator import names
from countercluster_operator.model import OPERATOR_NAMESPACE, decode
from countercluster_operator.resources import network

ROOT = Path(__file__).resolve().parents[3]
BODY = {"metadata": {"name": "c", "namespace": "shop", "uid": "u", "generation": 1}, "spec": {}}


def test_the_operator_is_admitted_from_its_own_namespace_only() -> None:
    rules = network.policy(decode(BODY, "node", "redis", "tools"))["spec"]["ingress"]
    [peers] = [
        rule["from"] for rule in rules if {"protocol": "TCP", "port": names.ADMIN} in rule["ports"]
    ]
    labels = {"app.kubernetes.io/name": "countercluster-operator"}
    home = {"matchLabels": {"kubernetes.io/metadata.name": "tools"}}
    assert peers == [{"namespaceSelector": home, "podSelector": {"matchLabels": labels}}]


def test_the_manifests_put_the_operator_where_the_policies_admit_it() -> None:
    documents = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()))
    [deployment] = [d for d in documents if d["kind"] == "Deployment"]
    assert deployment["metadata"]["namespace"] == OPERATOR_NAMESPACE
    template = deployment["spec"]["template"]
    assert network.OPERATOR_LABELS.items() <= template["metadata"]["labels"].items()
    environment = {e["name"]: e.get("valueFrom") for e in template["spec"]["containers"][0]["env"]}
    assert environment["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
