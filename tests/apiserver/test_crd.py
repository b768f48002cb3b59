"""What the API server accepts, refuses, fills in and shows of a CounterCluster."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from countercluster_operator import names
from countercluster_operator.model import Spec, decode

from tests.support.apiserver import Answer, ApiServer

ROOT = Path(__file__).resolve().parents[2]
CRD = yaml.safe_load((ROOT / "crds" / "countercluster.yaml").read_text())
DIGITS_64 = "x" * 64

ACCEPTED: dict[str, dict[str, Any]] = {
    "nothing at all": {},
    "one node": {"replicas": 1},
    "seven nodes": {"replicas": 7},
    "resources in every notation": {
        "resources": {
            "requests": {"cpu": 1, "memory": "1e8", "ephemeral-storage": "1Gi"},
            "limits": {"cpu": "1500m", "memory": "0.5Gi"},
        }
    },
    "a device": {"resources": {"limits": {"example.com/fpga": 1, "hugepages-2Mi": "4Mi"}}},
    "no resources": {"resources": {}},
    "requests as large as limits": {
        "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi"}}
    },
    "labels": {
        "podTemplate": {
            "labels": {"team": "billing", "example.com/cost-centre": "4711", "empty": ""}
        }
    },
    "annotations": {
        "podTemplate": {
            "annotations": {"prometheus.io/scrape": "true", "note": "any text, also {this}"}
        }
    },
    "a node selector": {"podTemplate": {"nodeSelector": {"kubernetes.io/arch": "amd64"}}},
    "tolerations": {
        "podTemplate": {
            "tolerations": [
                {"operator": "Exists"},
                {"key": "dedicated", "value": "counters", "effect": "NoSchedule"},
                {
                    "key": "node.kubernetes.io/unreachable",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 30,
                },
            ]
        }
    },
    "a rest": {"hibernated": True},
    "a pod under maintenance": {"maintenance": "c-2"},
    "a leader rolled on demand": {"rollout": {"strategy": "Supervised"}},
    "no healing": {"healing": {"replaceLostAfterSeconds": 0}},
    "a survivor": {"recovery": {"survivor": "0123456789abcdef"}},
    "volumes kept when members leave": {"storage": {"retainOnScaleIn": "Retain"}},
    "spread over zones and machines": {
        "podTemplate": {
            "topologySpreadConstraints": [
                {
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "minDomains": 2,
                },
                {"topologyKey": "topology.kubernetes.io/zone"},
                {"topologyKey": "kubernetes.io/hostname", "maxSkew": 2},
            ]
        }
    },
    "a priority": {"podTemplate": {"priorityClassName": "system-cluster-critical"}},
    "plain text": {
        "tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"},
        "auth": {"enabled": False},
    },
    "certificates of one's own": {"tls": {"secretName": "from-cert-manager"}},
    "users": {
        "auth": {
            "users": [
                {"name": "app", "rules": "~app:* +@read +@write", "passwordSecret": {"name": "app"}}
            ],
            "aclSecretName": "more",
        }
    },
    "users with limits": {
        "auth": {
            "strictPatterns": True,
            "users": [
                {
                    "name": "a",
                    "rules": "~a:*",
                    "passwordSecret": {"name": "a"},
                    "limits": {"keys": 0, "bytes": 0, "commandsPerSecond": 1},
                },
                {
                    "name": "b",
                    "rules": "~b:*",
                    "passwordSecret": {"name": "b"},
                    "limits": {"keys": (1 << 63) - 1},
                },
            ],
        }
    },
    "rotations": {
        "tls": {"rotateAuthority": "2026-11-23"},
        "auth": {"rotatePassword": "2026-11-23"},
    },
    "clients in cluster mode": {"clusterMode": {"enabled": True}},
    "so much for the counters": {
        "settings": {"maxStateMiB": 1048576},
        "resources": {"limits": {"memory": "4Ti"}},
    },
    "small entries": {"settings": {"maxEntryMiB": 1, "maxPipelineMiB": 1, "clientMiB": 1}},
    "large entries": {
        "settings": {"maxEntryMiB": 16, "maxPipelineMiB": 1024, "clientMiB": 65536},
        "resources": {"limits": {"memory": "4Ti"}},
    },
    "a stop of more than a year": {"clock": {"maxJumpDays": 400}},
    "little patience": {"settings": {"patienceMs": 100, "unreadyCloseSeconds": 0}},
    "much patience": {"settings": {"patienceMs": 3999, "unreadyCloseSeconds": 3600}},
    "rare scrapes": {"monitoring": {"enabled": True, "interval": "2m"}},
    "who may connect": {
        "network": {
            "clients": [
                {"podSelector": {"matchLabels": {"app": "shop"}}},
                {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}},
            ],
            "scrapers": [
                {
                    "namespaceSelector": {
                        "matchExpressions": [
                            {"key": "name", "operator": "In", "values": ["monitoring"]}
                        ]
                    }
                }
            ],
        }
    },
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "scrapes that are too rare for the alerts": (
        {"monitoring": {"interval": "121s"}},
        "spec.monitoring.interval",
    ),
    "no node": ({"replicas": 0}, "spec.replicas"),
    "eight nodes": ({"replicas": 8}, "should be less than or equal to 7"),
    "half a node": ({"replicas": 2.5}, "must be of type integer"),
    "an unknown pull policy": ({"imagePullPolicy": "Sometimes"}, 'supported values: "Always"'),
    "a size without a unit": ({"storage": {"size": "1000"}}, "spec.storage.size"),
    "a size of nothing": ({"storage": {"size": "0Gi"}}, "spec.storage.size"),
    "an unknown end of volumes": ({"storage": {"retain": "Perhaps"}}, "spec.storage.retain"),
    "too much cache": ({"cache": {"replicas": 11}}, "spec.cache.replicas"),
    "cache memory in pounds": ({"cache": {"memory": "64lb"}}, "spec.cache.memory"),
    "too fast a clock": ({"settings": {"tickMs": 4}}, "spec.settings.tickMs"),
    "too few ticks": ({"settings": {"electionTicks": 2}}, "spec.settings.electionTicks"),
    "no jump at all": ({"clock": {"maxJumpDays": 0}}, "spec.clock.maxJumpDays"),
    "cluster mode by half": ({"clusterMode": {"enabled": "yes"}}, "spec.clusterMode.enabled"),
    "less than nothing for the counters": (
        {"settings": {"maxStateMiB": -1}},
        "spec.settings.maxStateMiB",
    ),
    "more than a machine for the counters": (
        {"settings": {"maxStateMiB": 1048577}},
        "spec.settings.maxStateMiB",
    ),
    "no entry at all": ({"settings": {"maxEntryMiB": 0}}, "spec.settings.maxEntryMiB"),
    "too large an entry": ({"settings": {"maxEntryMiB": 17}}, "spec.settings.maxEntryMiB"),
    "no pipeline at all": ({"settings": {"maxPipelineMiB": 0}}, "spec.settings.maxPipelineMiB"),
    "too long a pipeline": ({"settings": {"maxPipelineMiB": 1025}}, "spec.settings.maxPipelineMiB"),
    "less than nothing for clients": ({"settings": {"clientMiB": -1}}, "spec.settings.clientMiB"),
    "more than a machine for clients": (
        {"settings": {"clientMiB": 65537}},
        "spec.settings.clientMiB",
    ),
    "too little patience": ({"settings": {"patienceMs": 99}}, "spec.settings.patienceMs"),
    "more patience than clients have": (
        {"settings": {"patienceMs": 4000}},
        "spec.settings.patienceMs",
    ),
    "unready for ever": (
        {"settings": {"unreadyCloseSeconds": 3601}},
        "spec.settings.unreadyCloseSeconds",
    ),
    "unready in the past": (
        {"settings": {"unreadyCloseSeconds": -1}},
        "spec.settings.unreadyCloseSeconds",
    ),
    "an unknown level": ({"settings": {"logLevel": "loud"}}, "spec.settings.logLevel"),
    "a quantity that is none": (
        {"resources": {"limits": {"memory": "lots"}}},
        "spec.resources.limits.memory",
    ),
    "a negative quantity": (
        {"resources": {"requests": {"cpu": "-1"}}},
        "spec.resources.requests.cpu",
    ),
    "an unknown resource": (
        {"resources": {"requests": {"ram": "1Gi"}}},
        "a resource is cpu, memory, ephemeral-storage",
    ),
    "an unknown resource as limit": (
        {"resources": {"limits": {"ram": "1Gi"}}},
        "a resource is cpu, memory, ephemeral-storage",
    ),
    "more memory than the limit": (
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        "spec.resources asks for more cpu or memory than its limits allow",
    ),
    "more cpu than the limit": (
        {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}},
        "than its limits allow",
    ),
    "a label's value that is too long": (
        {"podTemplate": {"labels": {"team": DIGITS_64}}},
        "spec.podTemplate.labels.team",
    ),
    "a label's value with a blank": (
        {"podTemplate": {"labels": {"team": "a b"}}},
        "spec.podTemplate.labels.team",
    ),
    "a label's value that is a number": (
        {"podTemplate": {"labels": {"team": 7}}},
        "must be of type string",
    ),
    "a label's key with a blank": (
        {"podTemplate": {"labels": {"a b": "c"}}},
        "the key of a label is",
    ),
    "the operator's own label": (
        {"podTemplate": {"labels": {"app.kubernetes.io/instance": "x"}}},
        "are the operator's own",
    ),
    "an annotation's key with a blank": (
        {"podTemplate": {"annotations": {"a b": "c"}}},
        "the key of an annotation is",
    ),
    "a node selector's key": (
        {"podTemplate": {"nodeSelector": {"/x": "c"}}},
        "the key of a label is",
    ),
    "a node selector's value": (
        {"podTemplate": {"nodeSelector": {"x": "-"}}},
        "spec.podTemplate.nodeSelector.x",
    ),
    "a toleration of nothing": (
        {"podTemplate": {"tolerations": [{}]}},
        "a toleration without a key needs operator: Exists",
    ),
    "an unknown effect": (
        {"podTemplate": {"tolerations": [{"key": "a", "effect": "Never"}]}},
        "tolerations[0].effect",
    ),
    "exists, with a value": (
        {"podTemplate": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}},
        "has no value",
    ),
    "seconds without NoExecute": (
        {"podTemplate": {"tolerations": [{"key": "a", "tolerationSeconds": 3}]}},
        "NoExecute only",
    ),
    "an image with a blank": ({"image": "my image"}, "spec.image"),
    "a cache image with a blank": ({"cache": {"image": " redis:8"}}, "spec.cache.image"),
    "maintenance of another cluster's pod": (
        {"maintenance": "other-0"},
        "spec.maintenance is the name of a pod of this cluster",
    ),
    "an unknown way to roll": ({"rollout": {"strategy": "LeaderFirst"}}, "spec.rollout.strategy"),
    "healing in the past": (
        {"healing": {"replaceLostAfterSeconds": -1}},
        "spec.healing.replaceLostAfterSeconds",
    ),
    "a survivor that is no id": ({"recovery": {"survivor": "c-0"}}, "spec.recovery.survivor"),
    "a recovery without a survivor": ({"recovery": {}}, "spec.recovery.survivor"),
    "an unknown end of a leaver's volume": (
        {"storage": {"retainOnScaleIn": "Perhaps"}},
        "spec.storage.retainOnScaleIn",
    ),
    "spread over nothing": (
        {"podTemplate": {"topologySpreadConstraints": [{}]}},
        "topologySpreadConstraints[0].topologyKey",
    ),
    "fewest places, but only if possible": (
        {"podTemplate": {"topologySpreadConstraints": [{"topologyKey": "a", "minDomains": 2}]}},
        "minDomains goes with whenUnsatisfiable: DoNotSchedule only",
    ),
    "spread twice over the same": (
        {
            "podTemplate": {
                "topologySpreadConstraints": [
                    {"topologyKey": "a"},
                    {"topologyKey": "a", "maxSkew": 2},
                ]
            }
        },
        "have the same topologyKey and whenUnsatisfiable",
    ),
    "plain text, and nobody says that the ports are open": (
        {"tls": {"enabled": False}},
        "say spec.tls.openPorts: AnyoneWhoReachesThemIsObeyed",
    ),
    "open ports in other words": (
        {"tls": {"enabled": False, "openPorts": "yes"}},
        "spec.tls.openPorts",
    ),
    "plain text with certificates": (
        {
            "tls": {
                "enabled": False,
                "openPorts": "AnyoneWhoReachesThemIsObeyed",
                "secretName": "mine",
            }
        },
        "spec.tls.secretName is set, and spec.tls.enabled is false",
    ),
    "the operator's user": (
        {
            "auth": {
                "users": [{"name": "default", "rules": "+@read", "passwordSecret": {"name": "a"}}]
            }
        },
        "the user default is the operator's",
    ),
    "a password among the rules": (
        {
            "auth": {
                "users": [{"name": "a", "rules": "~* >secret", "passwordSecret": {"name": "a"}}]
            }
        },
        "passwords belong into passwordSecret",
    ),
    "rules of two lines": (
        {
            "auth": {
                "users": [{"name": "a", "rules": "~*\nuser b", "passwordSecret": {"name": "a"}}]
            }
        },
        "auth.users[0].rules",
    ),
    "a user without a password": (
        {"auth": {"users": [{"name": "a", "rules": "~*"}]}},
        "auth.users[0].passwordSecret",
    ),
    **{
        f"{field} of {number}": (
            {
                "auth": {
                    "users": [
                        {
                            "name": "a",
                            "rules": "~*",
                            "passwordSecret": {"name": "a"},
                            "limits": {field: number},
                        }
                    ]
                }
            },
            f"auth.users[0].limits.{field}",
        )
        for field, number in (
            ("keys", -1),
            ("bytes", -1),
            ("commandsPerSecond", 0),
            ("keys", "many"),
        )
    },
    "strictness of another kind": ({"auth": {"strictPatterns": "very"}}, "auth.strictPatterns"),
    "a peer that is both": (
        {"network": {"clients": [{"podSelector": {}, "ipBlock": {"cidr": "192.0.2.0/24"}}]}},
        "a peer is either an ipBlock",
    ),
    "a peer that is nothing": ({"network": {"scrapers": [{}]}}, "a peer is either an ipBlock"),
    "a priority that is no name": (
        {"podTemplate": {"priorityClassName": "Very High"}},
        "spec.podTemplate.priorityClassName",
    ),
}


def _cluster(spec: dict[str, Any], name: str = "c", namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _create(server: ApiServer, body: dict[str, Any], **query: str) -> Answer:
    path = f"/apis/{names.API_VERSION}/namespaces/{body['metadata']['namespace']}/{names.PLURAL}"
    return server.request("POST", path, body, **{"fieldValidation": "Strict", **query})


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(server: ApiServer, case: str) -> None:
    answer = _create(server, _cluster(ACCEPTED[case]), dryRun="All")
    assert answer.status == 201, answer.message
    assert (
        decode(
            {**answer.body, "metadata": {**answer.body["metadata"], "generation": 1}},
            "node",
            "redis",
        ).image
        == "node"
    )


@pytest.mark.parametrize("case", REFUSED)
def test_refused(server: ApiServer, case: str) -> None:
    spec, why = REFUSED[case]
    answer = _create(server, _cluster(spec), dryRun="All")
    assert answer.status == 422, answer
    assert why in answer.message


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 41, "more than 40 characters"),
        ("7-of-them", "beginning with a letter"),
        ("a.b", "part of DNS names"),
    ],
)
def test_a_name_that_does_not_fit_the_children_is_refused(
    server: ApiServer, name: str, why: str
) -> None:
    answer = _create(server, _cluster({}, name), dryRun="All")
    assert answer.status == 422
    assert why in answer.message


def test_a_name_of_forty_characters_is_accepted(server: ApiServer) -> None:
    assert _create(server, _cluster({}, "x" * 40), dryRun="All").status == 201


def test_a_field_that_does_not_exist_is_named(server: ApiServer) -> None:
    answer = _create(server, _cluster({"replica": 3}), dryRun="All")
    assert answer.status == 400
    assert 'unknown field "spec.replica"' in answer.message


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"storage": {"storageClassName": "other"}},
            "spec.storage.storageClassName cannot be changed",
        ),
        (
            {"tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"}},
            "spec.tls.enabled cannot be changed",
        ),
        ({"auth": {"enabled": False}}, "spec.auth.enabled cannot be changed"),
    ],
)
def test_what_cannot_be_undone_is_refused_later(
    server: ApiServer, namespace: str, change: dict[str, Any], why: str
) -> None:
    _create(
        server, _cluster({"storage": {"size": "2Gi", "storageClassName": "fast"}}, "c", namespace)
    )
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/c"
    answer = server.merge(path, {"spec": change})
    assert answer.status == 422, answer
    assert why in answer.message
    assert server.merge(path, {"spec": {"storage": {"size": "2048Mi"}}}).status == 200, (
        "the same size in other words"
    )
    assert server.merge(path, {"spec": {"storage": {"size": "3Gi"}}}).status == 200


def test_every_rule_of_the_schema_is_in_these_tables(server: ApiServer) -> None:
    """A rule that nobody has seen refuse something may never do so."""
    told = [why for _, why in REFUSED.values()]
    told += [mark.args[1][i][1] for test in (test_what_cannot_be_undone_is_refused_later,
    test_a_name_that_does_not_fit_the_children_is_refused)
             for mark in test.pytestmark for i in range(len(mark.args[1]))]  # fmt: skip
    untold = [
        message for message in _messages(_schema()) if not any(why in message for why in told)
    ]
    assert not untold


def test_defaults_are_filled_in_by_the_api_server_and_are_those_of_the_operator(
    server: ApiServer,
) -> None:
    found = _create(server, _cluster({}), dryRun="All").ok()["spec"]
    assert found["replicas"] == 3
    assert found["storage"]["size"] == "1Gi"
    own = Spec(resources=found["resources"])
    body = {
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": found,
    }
    assert decode(body, "node", "redis").spec == own, (
        "what is left out means the same to the API server and to the operator"
    )


def test_the_schema_is_structural_and_nothing_in_it_is_free_form(server: ApiServer) -> None:
    path = (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/counterclusters.countercluster.io"
    )
    conditions = {c["type"]: c for c in server.get(path)["status"]["conditions"]}
    assert conditions["Established"]["status"] == "True"
    assert "NonStructuralSchema" not in conditions
    assert "x-kubernetes-preserve-unknown-fields" not in str(CRD)


def test_kubectl_shows_columns_short_name_and_category(server: ApiServer, namespace: str) -> None:
    _create(server, _cluster({"replicas": 5}, "clicks", namespace)).ok()
    status = {
        "observedGeneration": 1,
        "readyReplicas": 4,
        "leader": "clicks-2",
        "conditions": [
            _condition("Ready", "False", "Promote", "clicks-4 votes"),
            _condition("CacheAvailable", "True", "RedisReady", ""),
        ],
    }
    server.merge(
        f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks/status",
        {"status": status},
    ).ok()
    for word in ("cc", "all", "countercluster"):
        head, line = server.kubectl("get", word, "-n", namespace).splitlines()
        assert head.split() == ["NAME", "REPLICAS", "READY", "LEADER", "CACHE", "STATUS", "AGE"]
        assert line.split()[:6] == [
            f"{'countercluster.countercluster.io/' if word == 'all' else ''}clicks",
            "5",
            "4",
            "clicks-2",
            "True",
            "Promote",
        ]
    assert "clicks-4 votes" in server.kubectl("get", "cc", "-n", namespace, "-o", "wide")


def test_kubectl_explains_every_part(server: ApiServer) -> None:
    assert "Voting members, 1 to 7" in server.kubectl("explain", "cc.spec.replicas")
    assert "Coming" not in server.kubectl("explain", "cc", "--recursive")
    assert "<no description>" not in server.kubectl("explain", "cc.spec") + server.kubectl(
        "explain", "cc.status"
    )


def test_scale_reads_and_writes_replicas_and_has_a_selector(
    server: ApiServer, namespace: str
) -> None:
    _create(server, _cluster({"replicas": 3}, "clicks", namespace)).ok()
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks"
    server.merge(f"{path}/status", {"status": {"replicas": 3, "selector": "a=b"}}).ok()
    server.kubectl("scale", "cc/clicks", "-n", namespace, "--replicas=5")
    scale = server.get(f"{path}/scale")
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 3, "selector": "a=b"}
    answer = server.merge(f"{path}/scale", {"spec": {"replicas": 8}})
    assert answer.status == 422, "the limits hold here as well"


def test_the_status_is_written_by_its_own_door_only(server: ApiServer, namespace: str) -> None:
    made = _create(server, {**_cluster({}, "clicks", namespace), "status": {"leader": "me"}}).ok()
    assert "status" not in made
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks"
    server.merge(f"{path}/status", {"status": {"leader": "clicks-1"}, "spec": {"replicas": 7}}).ok()
    found = server.get(path)
    assert (found["spec"]["replicas"], found["status"]["leader"]) == (3, "clicks-1")
    assert found["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    "path", sorted((ROOT / "manifests" / "samples").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_sample_is_accepted_with_all_its_fields(server: ApiServer, path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    body["metadata"]["namespace"] = "default"
    answer = _create(server, body, dryRun="All")
    assert answer.status == 201, answer.message


def test_conditions_are_a_map_by_type_for_server_side_apply(
    server: ApiServer, namespace: str
) -> None:
    _create(server, _cluster({}, "clicks", namespace)).ok()
    body = _cluster({}, "clicks", namespace)
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks/status"
    for who, kind in (("one", "Ready"), ("two", "Example")):
        applied = copy.deepcopy(body)
        del applied["spec"]
        applied["status"] = {"conditions": [_condition(kind, "True", "Why", "")]}
        server.request(
            "PATCH", path, applied, content_type="application/apply-patch+yaml", fieldManager=who
        ).ok()
    assert {c["type"] for c in server.get(path)["status"]["conditions"]} == {"Ready", "Example"}


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    since = "2026-01-01T00:00:00Z"
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": 1,
    }


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _messages(schema: dict[str, Any]) -> list[str]:
    found = [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]
    for inner in [
        *schema.get("properties", {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]:
        if isinstance(inner, dict):
            found += _messages(inner)
    return found
