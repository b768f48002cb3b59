"""What is read of a cluster whose labels are on anybody's objects."""

from __future__ import annotations

import asyncio
from typing import Any

from countercluster_operator import names
from countercluster_operator.model import MAX_REPLICAS, Cluster, Spec
from countercluster_operator.world.api import TooMuch
from countercluster_operator.world.belongings import CROWDED_S, Belongings, Crowds

CLUSTER = Cluster("c", "ns", "uid", 1, Spec(), "i", "r")
OURS = names.labels("c", names.NODE)
Object = dict[str, Any]


def thing(name: str, labels: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": OURS if labels is None else labels}, "spec": spec}


class Api:
    """Objects by kind and name. `crowded`: kinds with a list that is too long."""

    def __init__(self, *crowded: str) -> None:
        self.crowded, self.said = set(crowded), list[str]()
        self.live = {
            "Pod": [
                thing("c-0"),
                thing("c-1", {}, serviceAccountName="c"),
                thing("c-2", {}),
                thing("x"),
            ],
            "PersistentVolumeClaim": [thing("data-c-0"), thing("data-c-1", {})],
        }

    async def list(
        self,
        _version: str,
        kind: str,
        _namespace: str,
        selector: Object,
        *,
        fields: str = "",
        cached: bool,
        most_bytes: int,
    ) -> list[Object]:
        self.said.append(f"list {kind}")
        assert cached
        assert most_bytes
        if kind in self.crowded:
            raise TooMuch
        account = fields.partition("=")[2]
        return [
            found
            for found in self.live[kind]
            if selector.items() <= found["metadata"]["labels"].items()
            and account in ("", found["spec"].get("serviceAccountName"))
        ]

    async def get(self, _version: str, kind: str, _namespace: str, name: str) -> Object | None:
        self.said.append(f"get {kind}")
        return next((found for found in self.live[kind] if found["metadata"]["name"] == name), None)


def found(api: Api, crowds: Crowds) -> tuple[list[str], list[str], str]:
    async def read() -> tuple[list[str], list[str], str]:
        own = Belongings(api, CLUSTER, crowds)  # type: ignore[arg-type]
        pods = await own.pods()
        pods += await own.strays({p["metadata"]["name"] for p in pods})
        return (
            [p["metadata"]["name"] for p in pods],
            [c["metadata"]["name"] for c in await own.claims()],
            own.crowded,
        )

    return asyncio.run(read())


def test_labels_on_too_many_objects_cost_names_and_hide_no_member() -> None:
    now = [0.0]
    crowds, quiet, busy = Crowds(lambda: now[0]), Api(), Api("Pod", "PersistentVolumeClaim")
    pods, claims, text = found(quiet, crowds)
    assert (sorted(pods), claims, text) == (["c-0", "c-1", "x"], ["data-c-0"], "")
    pods, claims, text = found(busy, crowds)
    assert (sorted(pods), claims) == (["c-0", "c-1"], ["data-c-0"]), "a name alone is anybody's"
    assert text.startswith(
        "PersistentVolumeClaims and Pods with the label app.kubernetes.io/instance=c take more "
        "than 4 MiB"
    )
    assert busy.said.count("get Pod") <= 2 * MAX_REPLICAS

    busy.said.clear()
    found(busy, crowds)
    assert "list PersistentVolumeClaim" not in busy.said, "it is believed for a while"
    now[0] = CROWDED_S
    assert found(quiet, crowds)[2] == "", "and listed again"


def test_redis_is_reported_only_where_it_can_be_found() -> None:
    assert asyncio.run(Belongings(Api("Pod"), CLUSTER, Crowds()).cache_pods()) == []  # type: ignore[arg-type]
