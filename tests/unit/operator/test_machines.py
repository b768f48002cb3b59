"""A member is lost only with the machine of its volume."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest
from countercluster_operator.model import Cluster, Spec
from countercluster_operator.world.landscape import Landscape
from countercluster_operator.world.machines import (
    SELECTED,
    UNREADABLE,
    ZONE,
    Gone,
    Machines,
    tied_to,
)
from countercluster_operator.world.observe import observe
from kubernetes.aio.client.exceptions import ApiException

NOW = datetime.datetime(2026, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)
HOSTNAME = "kubernetes.io/hostname"
CLAIM_UID = "claim-0"
LONG_AGO = NOW - datetime.timedelta(minutes=60)
Object = dict[str, Any]


def node(
    name: str,
    status: str = "True",
    *,
    zone: str = "",
    since: str = "2026-01-01T11:50:00Z",
    **labels: str,
) -> Object:
    """As the API has it; also cordoned and tainted, which must mean nothing here."""
    labels = {HOSTNAME: name, **({ZONE: zone} if zone else {}), **labels}
    conditions = [
        {
            "type": "MemoryPressure",
            "status": "Unknown",
            "lastTransitionTime": "2026-01-01T10:00:00Z",
        },
        {"type": "Ready", "status": status, "lastTransitionTime": since},
    ]
    taints = [
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
        {"key": "mine", "effect": "NoSchedule"},
    ]
    spec = {"unschedulable": True, "taints": taints}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"conditions": conditions},
    }


def volume(*terms: Object) -> Object:
    return {
        "metadata": {"name": "pv"},
        "spec": {
            "claimRef": {"uid": CLAIM_UID},
            **({"nodeAffinity": {"required": {"nodeSelectorTerms": list(terms)}}} if terms else {}),
        },
    }


def on(*machines: str, key: str = HOSTNAME) -> Object:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(machines)}]}


CLAIM: Object = {"metadata": {"name": "data-c-0", "uid": CLAIM_UID}, "spec": {"volumeName": "pv"}}
POD: Object = {
    "metadata": {"name": "c-0", "deletionTimestamp": "2026-01-01T11:00:00Z"},
    "spec": {"nodeName": "a"},
    "status": {
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastTransitionTime": "2026-01-01T11:00:00Z",
                "message": "0/4 nodes are available: 3 Insufficient cpu, 1 node(s) didn't match "
                "PersistentVolume's node affinity.",
            }
        ]
    },
}
LOCAL = volume(on("a"))


def lost_s(
    nodes: list[Object] | None,
    pv: Object | None = LOCAL,
    claim: Object | None = CLAIM,
    gone: Gone | None = None,
) -> float:
    return Machines(nodes, NOW, gone).loss(POD, claim, pv).seconds


def test_a_machine_that_is_full_cordoned_or_tainted_is_never_a_loss() -> None:
    """Whatever the scheduler says, and however long the pod is overdue."""
    assert lost_s([node("a"), node("b")]) == 0
    assert lost_s([{"metadata": {"name": "a"}}]) == 0, "one that has reported nothing yet"


def test_a_machine_that_is_not_ready_is_a_loss_from_then_on() -> None:
    assert lost_s([node("a", "Unknown"), node("b")]) == 600
    assert lost_s([node("a", "False"), node("b")]) == 600
    assert (
        "a is not ready"
        in Machines([node("a", "False"), node("b")], NOW).loss(POD, CLAIM, LOCAL).why
    )


def test_a_machine_that_is_gone_from_the_api_is_a_loss_from_when_it_was_first_missed() -> None:
    gone: Gone = {}
    assert lost_s([node("b")], gone=gone) == 0
    for minute in (1, 2, 3):
        later = Machines([node("b")], NOW + datetime.timedelta(minutes=minute), gone)
        assert later.loss(POD, CLAIM, LOCAL).seconds == 60 * minute
    Machines([node("a"), node("b")], NOW + datetime.timedelta(minutes=4), gone)
    again = Machines([node("b")], NOW + datetime.timedelta(minutes=5), gone)
    assert again.loss(POD, CLAIM, LOCAL).seconds == 0, "it was there meanwhile"
    after = Machines([node("b")], NOW + datetime.timedelta(minutes=60), gone)
    assert after.loss(POD, CLAIM, LOCAL).seconds == 0, "nobody observed it; it may have been there"


@pytest.mark.parametrize(
    ("pv", "machines"),
    [
        (LOCAL, {"a"}),
        (volume(on("a"), on("b")), {"a", "b"}),
        (volume(on("a", "b")), {"a", "b"}),
        (
            volume({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}),
            {"a"},
        ),
        (volume(on("a", key="topology.topolvm.io/node")), {"a"}),
        (
            volume(
                {
                    "matchExpressions": [
                        *on("z1", key=ZONE)["matchExpressions"],
                        *on("a")["matchExpressions"],
                    ]
                }
            ),
            {"a"},
        ),
        (volume(on("z1", key=ZONE)), set()),
        (volume(on("z1", key="topology.ebs.csi.aws.com/zone")), set()),
        (volume(on("a"), on("z1", key=ZONE)), set()),
        (
            volume({"matchExpressions": [{"key": HOSTNAME, "operator": "NotIn", "values": ["a"]}]}),
            set(),
        ),
        (volume({"matchExpressions": [{"key": HOSTNAME, "operator": "Exists"}]}), set()),
        (volume(), set()),
    ],
)
def test_a_volume_says_itself_on_which_machines_it_is(pv: Object, machines: set[str]) -> None:
    assert tied_to(pv) == machines


def test_a_volume_that_can_go_elsewhere_is_never_lost_with_a_machine() -> None:
    away = Machines([node("a", "Unknown"), node("b")], NOW)
    for pv in (volume(), volume(on("z1", key=ZONE))):
        assert away.loss(POD, CLAIM, pv).seconds == 0
        assert "out-of-service" in away.loss(POD, CLAIM, pv).why


def test_a_volume_on_two_machines_is_lost_with_both() -> None:
    both = volume(on("a"), on("b"))
    assert lost_s([node("a", "Unknown"), node("b"), node("c")], both) == 0
    two = [
        node("a", "Unknown"),
        node("b", "Unknown", since="2026-01-01T11:55:00Z"),
        node("c"),
        node("d"),
    ]
    assert lost_s(two, both) == 300


def test_what_cannot_be_read_is_not_lost_and_that_is_reported() -> None:
    assert lost_s(None) == 0
    assert Machines(None, NOW).loss(POD, CLAIM, None).why == UNREADABLE
    assert lost_s([node("b")], None) == 0
    assert (
        "PersistentVolume pv cannot be read"
        in Machines([node("b")], NOW).loss(POD, CLAIM, None).why
    )
    assert lost_s([node("b")], None, None) == 0


def test_of_an_ordinary_restart_an_operator_that_may_not_read_machines_tells_nothing() -> None:
    """Each pod of a roll was a Warning."""
    scheduled = {"conditions": [{"type": "PodScheduled", "status": "True"}]}
    ending: Object = {
        "metadata": {"name": "c-0", "deletionTimestamp": "2026-01-01T12:00:30Z"},
        "spec": {"nodeName": "a"},
        "status": scheduled,
    }
    starting: Object = {**ending, "metadata": {"name": "c-0"}}
    homeless: Object = {
        **starting,
        "status": {"conditions": [{"type": "PodScheduled", "status": "False"}]},
    }
    nobody_knows = Machines(None, NOW)
    assert [nobody_knows.loss(pod, CLAIM, None).why for pod in (ending, starting, homeless)] == [
        "",
        "",
        UNREADABLE,
    ]


@pytest.mark.parametrize(("status", "words"), [(403, UNREADABLE), (503, None)])
def test_an_api_server_that_does_not_answer_forbids_nothing(status: int, words: str | None) -> None:
    class Api:
        async def list(self, *_: Any, **__: Any) -> list[Object]:
            raise ApiException(status=status)

    found = asyncio.run(Landscape(Api()).machines())  # type: ignore[arg-type]
    assert (None if found is None else found.loss(POD, CLAIM, None).why) == words


def test_a_member_is_given_up_by_a_list_of_this_moment_only() -> None:
    """A machine may have come back since the list that all clusters share was read."""
    silent: Object = {
        "metadata": {"name": "c-0", "uid": "u"},
        "spec": {"nodeName": "a"},
        "status": {"podIP": ""},
    }
    claim = {
        "metadata": {"name": "data-c-0", "uid": CLAIM_UID},
        "spec": {"volumeName": "pv", "resources": {"requests": {"storage": "1Gi"}}},
    }
    now, reads = [0.0], [0]

    class Api:
        async def list(self, _version: str, kind: str, *_: Any, **__: Any) -> list[Object]:
            reads[0] += kind == "Node"
            first = node("a", "Unknown" if reads[0] == 1 else "True", since="2020-01-01T00:00:00Z")
            return {
                "Pod": [silent],
                "PersistentVolumeClaim": [claim],
                "Node": [first, node("b"), node("c")],
            }[kind]

        async def get(self, _version: str, kind: str, *_: Any) -> Object | None:
            return {**LOCAL, "metadata": {"name": "pv"}} if kind == "PersistentVolume" else None

    async def run() -> float:
        landscape = Landscape(Api(), lambda: now[0])  # type: ignore[arg-type]
        await landscape.machines()
        now[0] = 5.0
        status = {"bootstrap": {"pod": "c-0", "nodeId": "1"}}
        seen, _ = await observe(
            Api(), Cluster("c", "ns", "uid", 1, Spec(), "i", "r"), status, None, landscape
        )  # type: ignore[arg-type]
        return seen.pods[0].loss.seconds

    assert asyncio.run(run()) == 0
    assert reads[0] == 2


def test_a_machine_is_known_by_its_name_where_its_label_was_changed_and_the_other_way_round() -> (
    None
):
    other = node("a")
    other["metadata"]["labels"][HOSTNAME] = "renamed"
    assert lost_s([other]) == 0
    assert (
        lost_s(
            [
                {
                    **node("ip-10-0-0-1"),
                    "metadata": {"name": "ip-10-0-0-1", "labels": {HOSTNAME: "a"}},
                }
            ]
        )
        == 0
    )


def test_a_claim_whose_volume_was_promised_on_a_machine_that_does_not_make_it_is_lost_with_it() -> (
    None
):
    """Found on kind: a machine died while a member was to start on it, and the scheduler waited for
    its volume for ten minutes."""
    promised = {"metadata": {"name": "data-c-0", "annotations": {SELECTED: "a"}}, "spec": {}}
    assert lost_s([node("a", "Unknown"), node("b")], None, promised) == 600
    assert lost_s([node("a"), node("b")], None, promised) == 0
    assert lost_s([node("b")], None, {"metadata": {"name": "data-c-0"}, "spec": {}}) == 0
    found = Machines([node("a", "Unknown"), node("b")], NOW).loss(POD, promised, None)
    assert found.domain == "", "it holds nothing, so it takes nobody's place in the budget"


def test_a_claim_that_names_a_volume_of_somebody_else_loses_nothing() -> None:
    """Anybody may write the name of a volume into a claim."""
    theirs = {**LOCAL, "spec": {**LOCAL["spec"], "claimRef": {"uid": "of-somebody-else"}}}
    found = Machines([node("b")], NOW, {"a": (LONG_AGO, NOW)}).loss(POD, CLAIM, theirs)
    assert (found.seconds, found.domain) == (0, "")
    assert "names PersistentVolume pv, which is not bound to it" in found.why
    free = {**LOCAL, "spec": {k: v for k, v in LOCAL["spec"].items() if k != "claimRef"}}
    assert lost_s([node("b")], free, gone={"a": (LONG_AGO, NOW)}) == 0


def test_machines_that_were_made_up_are_forgotten() -> None:
    """A name in an annotation of a claim costs memory for minutes, and a long one none."""
    gone: Gone = {}

    def promised(machine: str) -> Object:
        return {"metadata": {"name": "data-c-0", "annotations": {SELECTED: machine}}, "spec": {}}

    for number in range(100):
        now = NOW + datetime.timedelta(seconds=10 * number)
        Machines([node("b")], now, gone).loss(POD, promised(f"ghost-{number}"), None)
    assert len(gone) <= 19
    Machines([node("b")], NOW, gone).loss(POD, promised("x" * 254), None)
    assert "x" * 254 not in gone


def test_an_outage_of_a_zone_is_no_loss() -> None:
    dark = [
        node("a", "Unknown", zone="z1"),
        node("b", "Unknown", zone="z1"),
        node("c", zone="z2"),
        node("d", zone="z2"),
    ]
    found = Machines(dark, NOW).loss(POD, CLAIM, LOCAL)
    assert (found.seconds, found.domain) == (0, "z1")
    assert "2 of 2 machines of zone z1 are not ready" in found.why
    assert (
        lost_s([node("a", "Unknown", zone="z1"), node("b", zone="z1"), node("c", zone="z2")]) == 600
    )
    assert (
        lost_s(
            [node("b", "Unknown", zone="z1"), node("c", zone="z2")],
            gone={"a": (NOW - datetime.timedelta(minutes=9), NOW)},
        )
        == 540
    )
    alone = [node("a", "Unknown"), node("b", "Unknown"), node("c")]
    assert "2 of 3 machines of the cluster" in Machines(alone, NOW).loss(POD, CLAIM, LOCAL).why


def test_a_zone_that_comes_back_one_machine_after_the_other_loses_none_of_them() -> None:
    """Found on kind: the first machine was back, the outage was over, and the volume on the second
    had been away for long enough."""
    back, long_ago = "2026-01-01T11:59:50Z", "2026-01-01T09:00:00Z"
    two = [node("a", "Unknown", zone="z1"), node("b", zone="z1", since=back), node("c", zone="z2")]
    assert lost_s(two) == 10, "the time that it is given begins again"
    assert lost_s([node("a", "Unknown"), node("b", since=back)]) == 10, "where there are no zones"
    five = [node(n, zone="z1", since=back if n in "de" else long_ago) for n in "bcde"]
    assert lost_s([node("a", "Unknown", zone="z1"), *five]) == 10
    flaps = [node(n, zone="z1", since=back if n == "e" else long_ago) for n in "bcde"]
    assert lost_s([node("a", "Unknown", zone="z1"), *flaps]) == 600, (
        "one that comes and goes keeps no other from being replaced"
    )
    alone = [node("a", "Unknown", zone="z1"), node("b", zone="z2", since=back)]
    assert lost_s(alone) == 600, "another zone says nothing of it"
    gone = (NOW - datetime.timedelta(minutes=9), NOW)
    assert lost_s([node("b", zone="z1", since=back)], gone={"a": gone}) == 540, (
        "somebody took it away"
    )


def test_the_domain_of_a_machine_is_its_zone_also_after_it_is_gone() -> None:
    zones: dict[str, str] = {}
    Machines([node("a", zone="z1"), node("b", zone="z2")], NOW, {}, zones)
    assert Machines([node("b", zone="z2")], NOW, {}, zones).loss(POD, CLAIM, LOCAL).domain == "z1"
    both = volume(
        {
            "matchExpressions": [
                *on("z1", key=ZONE)["matchExpressions"],
                *on("a")["matchExpressions"],
            ]
        }
    )
    assert Machines([node("b", zone="z2")], NOW).loss(POD, CLAIM, both).domain == "z1"
    assert Machines([node("b")], NOW).loss(POD, CLAIM, LOCAL).domain == "a"
