"""The registry of children: each is what it says, and is either wanted or unwanted."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from countercluster_operator.credentials.secured import PLAIN, Secured
from countercluster_operator.model import Auth, Cache, Cluster, Monitoring, Spec, Tls
from countercluster_operator.resources.child import Wish
from countercluster_operator.resources.registry import REGISTRY, all_children, unwanted
from countercluster_operator.run import handlers

from tests.support.unit.secured import SECURED

SPECS = [
    Spec(
        tls=Tls(enabled=secured),
        auth=Auth(enabled=secured),
        cache=Cache(enabled=cache),
        monitoring=Monitoring(enabled=monitoring),
    )
    for secured, cache, monitoring in itertools.product((True, False), repeat=3)
]


def wish(spec: Spec, voters: int, secured: Secured) -> Wish:
    cluster = Cluster("c", "ns", "uid", 1, spec, "image", "redis")
    return Wish(cluster, voters, voters, secured=secured)


@pytest.mark.parametrize("voters", [1, 3])
@pytest.mark.parametrize("spec", SPECS)
def test_a_child_is_of_the_kind_and_name_that_it_says_and_never_wanted_and_unwanted(
    spec: Spec, voters: int
) -> None:
    for secured in (PLAIN, SECURED):
        asked = wish(spec, voters, secured)
        for child in REGISTRY:
            manifest = child.desired(asked)
            if manifest is None:
                continue
            said = (child.api_version, child.kind, child.name("c"))
            meta = manifest["metadata"]
            assert (manifest["apiVersion"], manifest["kind"], meta["name"]) == said
            assert not child.unwanted(asked), said
        made = all_children(asked.cluster, voters, voters, secured=secured)
        names = {(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in made}
        assert len(names) == len(made), "no two have one name"
        assert not names & set(unwanted(asked.cluster, voters))


def test_everything_is_made_for_a_cluster_that_wants_everything() -> None:
    full = wish(SPECS[0], 3, SECURED)
    assert len(all_children(full.cluster, 3, 3, secured=SECURED)) == len(REGISTRY)
    assert unwanted(full.cluster, 3) == []


def test_what_waits_for_certificates_is_left_as_it_is() -> None:
    given = Spec(tls=Tls(enabled=True, secret_name="given"))
    asked = wish(given, 3, PLAIN)
    assert not asked.secured.can_mount(asked.cluster)
    waiting = [c for c in REGISTRY if c.kind in ("StatefulSet", "Deployment")]
    assert len(waiting) == 2
    assert all(c.desired(asked) is None and not c.unwanted(asked) for c in waiting)


@pytest.mark.parametrize("spec", SPECS)
def test_every_pod_pulls_with_the_secrets_that_the_operator_was_given(spec: Spec) -> None:
    """Others forgot them for one kind of pod (cloudnative-pg #10037)."""
    given = Cluster("c", "ns", "uid", 1, spec, "image", "redis", pull_secrets=("one", "two"))
    without = Cluster("c", "ns", "uid", 1, spec, "image", "redis")

    def pod_specs(cluster: Cluster) -> list[dict[str, Any]]:
        children = all_children(cluster, 3, 3, secured=SECURED)
        return [
            child["spec"]["template"]["spec"] for child in children if "template" in _spec(child)
        ]

    assert len(pod_specs(given)) == 1 + spec.cache.enabled
    for pod in pod_specs(given):
        assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert all("imagePullSecrets" not in pod for pod in pod_specs(without))


def _spec(child: dict[str, Any]) -> dict[str, Any]:
    return dict(child.get("spec") or {})


def test_children_are_watched_but_for_those_that_each_pass_reads() -> None:
    watched = {plural for _, _, plural in handlers.CHILDREN}
    read = {
        c.kind
        for c in REGISTRY
        if not watched & {f"{c.kind}s".lower(), f"{c.kind[:-1]}ies".lower()}
    }
    assert read == {"ConfigMap", "PodMonitor", "PrometheusRule"}, "rbac.yaml and handlers.CHILDREN"
