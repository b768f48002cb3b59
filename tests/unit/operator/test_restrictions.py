"""What the administrator does not allow is not applied, and is reported by word, setting and
remedy; what runs goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from countercluster_operator.decide.restrictions import begins, outside
from countercluster_operator.model import decode
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import VARIABLES, SettingsError, load

from tests.support.unit.reconcile_world import World
from tests.support.unit.reconcile_world import nodes as nodes  # a fixture
from tests.support.unit.situations import formed, kill, outdated

ROOT = Path(__file__).resolve().parents[3]
NODE, REDIS = "ghcr.io/acme/node:1", "ghcr.io/acme/redis:8"


def refused(spec: dict[str, Any], **environment: str) -> list[str]:
    meta = {"name": "c", "namespace": "ns", "uid": "u", "generation": 1}
    settings = load(
        {
            "RELATED_IMAGE_NODE": NODE,
            "RELATED_IMAGE_REDIS": REDIS,
            "POD_NAMESPACE": "system",
            **environment,
        }
    )
    cluster = decode({"metadata": meta, "spec": spec}, settings.node_image, settings.redis_image)
    return [one.text for one in outside(cluster, settings.restrictions)]


def template(**fields: Any) -> dict[str, Any]:
    return {"podTemplate": fields}


@pytest.mark.parametrize(
    ("word", "image", "allowed"),
    [
        ("ghcr.io/acme/", "ghcr.io/acme/node:1", True),
        ("ghcr.io/acme", "ghcr.io/acme/node:1", True),
        ("ghcr.io/acme", "ghcr.io/acmes/node:1", False),
        ("ghcr.io/acme", "ghcr.io/acme-evil/node:1", False),
        ("ghcr.io", "ghcr.io.example.com/node:1", False),
        ("ghcr.io", "ghcr.io:5000/node:1", False),
        ("ghcr.io:", "ghcr.io:5000/node:1", False),
        ("ghcr.io", "ghcr.io@evil/node:1", False),
        ("ghcr.io/acme/node", "ghcr.io/acme/node:1", True),
        ("ghcr.io/acme/node", "ghcr.io/acme/node", True),
        ("ghcr.io/acme/node", "ghcr.io/acme/node@sha256:aa", True),
        ("ghcr.io/acme/node:1", "ghcr.io/acme/node:1@sha256:aa", True),
        ("ghcr.io/acme/node:1", "ghcr.io/acme/node:1.2", False),
        ("ghcr.io/acme/node@", "ghcr.io/acme/node:1", False),
        ("ghcr.io/acme/node@sha256:aa", "ghcr.io/acme/node@sha256:aabb", False),
        ("ghcr.io/acme", "ghcr.io/acme/../evil/node:1", False),
        ("ghcr.io/acme", "ghcr.io/acme//node:1", False),
        ("acme/", "docker.io/acme/node:1", False),
        ("docker.io/acme/", "acme/node:1", False),
        ("redis", "redis:8", True),
        ("redis", "redis.example.com/x", False),
        ("*", "anything", True),
    ],
)
def test_a_word_for_images_ends_where_a_part_ends(word: str, image: str, allowed: bool) -> None:
    assert begins(image, word) is allowed


@pytest.mark.parametrize(
    ("setting", "words", "inside", "beyond", "shown"),
    [
        ("ALLOWED_IMAGES", "ghcr.io/acme/,example.com", {"image": "example.com/a/b:1"},
        {"image": "example.org/b"}, "spec.image: example.org/b"),
        ("ALLOWED_IMAGES", "none", {"image": NODE}, {"image": "b"}, "spec.image: b"),
        ("ALLOWED_IMAGES", "none", {"cache": {"image": REDIS}}, {"cache": {"image": "b"}},
        "spec.cache.image: b"),
        ("ALLOWED_PRIORITY_CLASSES", "tenants,shop-*", template(priorityClassName="shop-low"),
         template(priorityClassName="system-cluster-critical"),
         "spec.podTemplate.priorityClassName: system-cluster-critical"),
        ("ALLOWED_LABELS", "team,tier=batch,example.com/*", template(labels={"team": "a",
        "tier": "batch", "example.com/x": "y"}),
         template(labels={"tier": "front"}), "spec.podTemplate.labels: tier=front"),
        ("ALLOWED_LABELS", "release", {"monitoring": {"enabled": True, "labels": {"release": "p"}}},
         {"monitoring": {"enabled": True, "labels": {"a": "p"}}}, "spec.monitoring.labels: a=p"),
        ("ALLOWED_LABELS", "none", {"monitoring": {"labels": {"a": "p"}}},
        template(labels={"a": "b"}), "spec.podTemplate.labels: a=b"),
        ("ALLOWED_ANNOTATIONS", "none",
        template(annotations={"countercluster.io/restarted-at": "now"}),
         template(annotations={
             "container.apparmor.security.beta.kubernetes.io/node": "unconfined"}),
         "spec.podTemplate.annotations: "
         "container.apparmor.security.beta.kubernetes.io/node=unconfined"),
        ("ALLOWED_NODE_SELECTORS", "pool=tenants", template(nodeSelector={"pool": "tenants"}),
        template(nodeSelector={"pool": "system"}),
         "spec.podTemplate.nodeSelector: pool=system"),
        ("ALLOWED_TOPOLOGY_KEYS", "topology.kubernetes.io/zone",
        template(topologySpreadConstraints=[{"topologyKey": "topology.kubernetes.io/zone"}]),
         template(topologySpreadConstraints=[{"topologyKey": "rack"}]),
         "spec.podTemplate.topologySpreadConstraints: rack"),
        ("ALLOWED_STORAGE_CLASSES", "slow", {"storage": {"storageClassName": "slow"}},
        {"storage": {"storageClassName": "fast"}},
         "spec.storage.storageClassName: fast"),
        ("ALLOWED_RESOURCES", "none", {"resources": {"limits": {"cpu": 1, "memory": "1Gi",
        "ephemeral-storage": "1Gi"}}},
         {"resources": {"requests": {"example.com/device": 1}, "limits": {"hugepages-2Mi": "2Mi"}}},
         "spec.resources: example.com/device, hugepages-2Mi"),
    ],
)  # fmt: skip
def test_what_is_beyond_a_setting_is_reported_by_word_setting_and_remedy(
    setting: str, words: str, inside: dict[str, Any], beyond: dict[str, Any], shown: str
) -> None:
    assert refused(beyond) == refused(beyond, **{setting: ""}) == [], (
        "without the setting everything is allowed"
    )
    assert refused(beyond, **{setting: "*"}) == []
    assert refused(inside, **{setting: words}) == []
    (text,) = refused(beyond, **{setting: words})
    remedy = (
        "allows none: leave it out"
        if words == "none"
        else f"allows {', '.join(words.split(','))}: take one of these"
    )
    assert (
        text
        == f"{shown} is not allowed; the operator's setting {setting} {remedy}, or ask whoever "
        f"runs the operator"
    )


@pytest.mark.parametrize(
    ("toleration", "covered_by", "not_by"),
    [
        ({"key": "pool", "operator": "Equal", "value": "a", "effect": "NoSchedule"},
         ("*", "pool", "pool=a", "po*=*", "pool:NoSchedule", "pool=a:NoSchedule"), ("pool=b",
         "pool=a:NoExecute", "pools", "a")),
        ({"key": "pool", "value": "a"}, ("pool", "pool=a"), ("pool=a:NoSchedule",
        "pool:NoSchedule")),
        ({"key": "pool", "operator": "Exists"}, ("pool", "*", "p*"), ("pool=a", "pool=*",
        "pool:NoSchedule")),
        ({"operator": "Exists"}, ("*",), ("pool", "*:NoSchedule", "*=*")),
        ({"operator": "Exists", "effect": "NoExecute"}, ("*", "*:NoExecute"), ("pool",
        "*:NoSchedule")),
        ({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists",
        "effect": "NoSchedule"},
         ("node-role.kubernetes.io/*",), ("node.kubernetes.io/*",)),
    ],
)  # fmt: skip
def test_a_toleration_is_allowed_when_one_word_covers_all_of_it(
    toleration: dict[str, Any], covered_by: tuple[str, ...], not_by: tuple[str, ...]
) -> None:
    spec = template(tolerations=[toleration])
    assert [word for word in covered_by if refused(spec, ALLOWED_TOLERATIONS=word)] == []
    for words in (*not_by, "none", ",".join(not_by)):
        assert "spec.podTemplate.tolerations" in refused(spec, ALLOWED_TOLERATIONS=words)[0]


def test_an_image_that_was_chosen_earlier_is_judged_as_well() -> None:
    """Whoever may write the status, or what remembers it, gets no other image in."""
    meta = {"name": "c", "namespace": "ns", "uid": "u", "generation": 1}
    body = {
        "metadata": meta,
        "spec": {},
        "status": {"chosen": {"image": "evil", "cacheImage": REDIS}},
    }
    cluster = decode(body, NODE, REDIS)
    (one,) = outside(
        cluster, load({"ALLOWED_IMAGES": "ghcr.io/", "RELATED_IMAGE_REDIS": REDIS}).restrictions
    )
    assert one.text.startswith(
        "spec.image is empty, and what was chosen for it earlier: evil is not allowed"
    )
    assert one.kinds == ("StatefulSet",)


def test_a_long_list_is_cut_short() -> None:
    (text,) = refused(
        template(annotations={f"a{n}": "x" * 4096 for n in range(32)}), ALLOWED_ANNOTATIONS="none"
    )
    assert "and 24 more" in text
    assert len(text) < 1_300


@pytest.mark.parametrize("text", ["none,a", "a b", "*a", "a*b", "=a", ":NoSchedule", "a=b*c"])
def test_words_that_make_no_sense_end_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_LABELS"):
        load({"ALLOWED_LABELS": text})
    with pytest.raises(SettingsError, match="ALLOWED_IMAGES"):
        load({"ALLOWED_IMAGES": "ghcr.io/a*"})


def test_every_setting_is_on_the_page() -> None:
    page = (ROOT / "docs" / "operating" / "security.md").read_text()
    assert [
        name for name in VARIABLES if name.startswith("ALLOWED_") and f"`{name}`" not in page
    ] == []


class Restricted(World):
    def __init__(self, spec: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(spec, **more)
        self.restrict(ALLOWED_IMAGES="none", ALLOWED_PRIORITY_CLASSES="none", ALLOWED_LABELS="none")

    def restrict(self, **environment: str) -> None:
        self.reconciler = Reconciler(self, load({"POD_NAMESPACE": "system", **environment}))  # type: ignore[arg-type]

    def edit(self, **spec: Any) -> None:
        assert self.cluster is not None
        self.cluster = {
            **self.cluster,
            "spec": spec,
            "metadata": {**self.cluster["metadata"], "generation": 2},
        }


def test_a_new_cluster_beyond_it_gets_no_pods_and_a_reason() -> None:
    world = Restricted(
        {"image": "evil:1", "cache": {"image": "evil:2"}},
        seen=dataclasses.replace(formed(0), bootstrap=None, set_replicas=None),
    )
    world.look(3)
    assert not {kind for kind, _ in world.live} & {"StatefulSet", "Deployment"}
    assert ("Service", "c") in world.live, "all else is there"
    assert (world.ready()["status"], world.ready()["reason"]) == ("False", "NotAllowed")
    assert (
        "spec.image: evil:1 is not allowed; the operator's setting ALLOWED_IMAGES allows none"
        in world.ready()["message"]
    )
    assert "spec.cache.image: evil:2" in world.ready()["message"]
    assert "evil" not in f"{world.status['image']}{world.status['cacheImage']}"


def test_a_cluster_that_runs_goes_on_with_what_it_has() -> None:
    world = Restricted()
    world.look(2)
    before = dict(world.live)
    world.edit(image="evil:1", replicas=1, hibernated=True, podTemplate={"labels": {"a": "b"}})
    world.look()
    assert "event NotAllowed" in world.said
    world.look()
    assert world.live["StatefulSet", "c"] == before["StatefulSet", "c"]
    assert world.ready()["reason"] == "NotAllowed"
    conditions = {c["type"]: c for c in world.status["conditions"]}
    assert conditions["Available"]["status"] == conditions["QuorumHealthy"]["status"] == "True"
    assert world.status["target"] == 3, "a size that is not applied costs no member"
    world.look()
    assert world.said == [], "and nothing is written at rest"


def test_a_cluster_beyond_it_is_healed_with_what_it_has() -> None:
    world = Restricted()
    world.look(2)
    world.edit(image="evil:1")
    world.seen = kill(outdated(formed(), 2), 2)
    world.look(2)
    assert "delete Pod c-2" in world.said


def test_nothing_is_deleted_that_only_a_new_statefulset_would_bring_back() -> None:
    world = Restricted()
    world.look(2)
    world.edit(image="evil:1", storage={"size": "2Gi"})
    world.seen = dataclasses.replace(formed(), template_size="1Gi")
    world.look(2)
    assert not [word for word in world.said if word.startswith("delete")]
    world.seen = kill(outdated(dataclasses.replace(formed(), set_replicas=None), 2), 2)
    world.look(2)
    assert not [word for word in world.said if word.startswith("delete")]


def test_what_is_allowed_again_is_applied() -> None:
    world = Restricted(
        {"podTemplate": {"priorityClassName": "high"}},
        seen=dataclasses.replace(formed(0), bootstrap=None, set_replicas=None),
    )
    world.look(2)
    assert ("StatefulSet", "c") not in world.live
    world.restrict(ALLOWED_PRIORITY_CLASSES="high")
    world.look()
    assert ("StatefulSet", "c") in world.live


def test_labels_for_monitoring_withhold_what_carries_them_and_nothing_else() -> None:
    world = Restricted({"monitoring": {"enabled": True, "labels": {"release": "x"}}})
    world.look(2)
    kinds = {kind for kind, _ in world.live}
    assert not kinds & {"PodMonitor", "PrometheusRule"}
    assert "StatefulSet" in kinds
    assert world.ready()["reason"] == "NotAllowed"
