"""What the schema of CounterCluster accepts and refuses: a table of each. A new rule has a row in
both."""

from __future__ import annotations

from typing import Any

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
