"""What the API server does not take, or does not answer, concerns that one object and stops nothing
else."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Any

import pytest
from countercluster_operator.apply import children, events
from countercluster_operator.run.reconcile import SOON_S
from countercluster_operator.world.observed import Claim
from countercluster_operator.world.refusals import FIRST_S, LAST_S, Refusals, reason, retry_after_s
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit import reconcile_world
from tests.support.unit.reconcile_world import World
from tests.support.unit.situations import formed, outdated

nodes = reconcile_world.nodes
Object = dict[str, Any]


def api_error(status: int, message: str = "", **headers: str) -> ApiException:
    error = ApiException(status=status, reason="Reason")
    error.body = f'{{"message": "{message}"}}' if message else "<html>"
    error.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return error


class Failing(World):
    """`fails`: (kind or `status`, error). An error of None never answers."""

    def __init__(self, *fails: tuple[str, BaseException | None], **more: Any) -> None:
        super().__init__(**more)
        self.fails = dict(fails)

    async def _fail(self, what: str) -> None:
        if what in self.fails:
            self.said.append(f"tried {what}")
            error = self.fails[what]
            if error is None:
                await asyncio.sleep(3600)
            assert error is not None
            raise error

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        await self._fail(subresource or manifest["kind"])
        return await super().apply(manifest, subresource=subresource)

    async def create(self, manifest: Object) -> Object:
        await self._fail("Event")
        return await super().create(manifest)

    async def delete(
        self,
        version: str,
        kind: str,
        namespace: str,
        name: str,
        uid: str | None = None,
        **more: bool,
    ) -> None:
        await self._fail(f"delete {kind}")
        await super().delete(version, kind, namespace, name, uid, **more)


WEBHOOK = api_error(500, "Internal error occurred: failed calling webhook")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WEBHOOK, "failed calling webhook"),
        (api_error(403, "exceeded quota: pods=2"), "exceeded quota"),
        (api_error(429, "too many requests", Retry_After="7"), "again after 7 s"),
        (api_error(503), "Reason"),
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError("reset by peer"), "reset by peer"),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        "Service",
        "StatefulSet",
        "PodDisruptionBudget",
        "Deployment",
        "NetworkPolicy",
        "ServiceAccount",
        "Secret",
    ],
)
def test_every_other_child_is_kept_the_step_is_done_and_the_cause_is_reported(
    kind: str, error: BaseException, words: str
) -> None:
    world = Failing(seen=outdated(formed(), 2))
    world.look(2)
    world.fails = {kind: error}
    world.wanted.clear()
    world.live = {key: live for key, live in world.live.items() if live["kind"] != kind}
    world.reconciler = type(world.reconciler)(world, world.reconciler._settings)  # type: ignore[arg-type]
    for _ in range(3):
        world.look()
        if kind == "Secret" and "delete Pod c-2" not in world.said:
            break  # without its own Secret the operator has nothing to show to nodes
        if "delete Pod c-2" in world.said:
            break
    assert (world.ready()["status"], world.ready()["reason"]) == ("False", "ChildRefused")
    assert words in world.ready()["message"]
    assert "delete Pod c-2" in world.said or kind == "Secret"


def test_a_child_that_is_never_answered_is_given_up_with_the_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "KEEP_S", 0.2)
    world = Failing(("Service", None))
    world.look()
    assert "no answer in time" in world.ready()["message"]
    assert "apply StatefulSet" in world.said


def test_events_are_best_effort_and_a_failing_one_is_not_asked_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "EVENT_S", 0.1)
    for error in (WEBHOOK, api_error(403), TimeoutError(), None):
        world = Failing(("Event", error), ("Service", api_error(403)), seen=outdated(formed(), 2))
        world.look(2)
        assert "delete Pod c-2" in world.said
        assert world.said.count("tried Event") <= 1


def test_a_status_that_cannot_be_written_stops_nothing_but_what_is_done_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Failing(seen=outdated(formed(), 2))
    world.look()
    world.fails = {"status": WEBHOOK}
    world.look()
    assert "delete Pod c-2" in world.said
    first = Failing(("status", WEBHOOK), seen=formed(bootstrap=None))
    first.look(3)
    assert not [said for said in first.said if "RecordBootstrap" in said]


def test_a_step_that_the_api_server_refuses_is_reported_and_tried_again() -> None:
    world = Failing(seen=outdated(formed(), 2))
    world.look()
    now = 1_000.0
    world.reconciler._attempts.refusals = Refusals(lambda: now)
    world.fails = {"delete Pod": api_error(403, "denied by policy")}
    pauses: list[float] = []
    for _ in range(60):
        world.said.clear()
        again_s = world.look()
        assert again_s is not None
        if "tried delete Pod" in world.said:
            pauses.append(now)
        now += again_s
        assert "the API server refuses DeletePod c-2: denied by policy" in world.ready()[
            "message"
        ] or pauses == [1_000.0]
    assert [round(b - a) for a, b in itertools.pairwise(pauses)][:5] == [5, 10, 20, 30, 30], (
        "ever more rarely"
    )
    world.fails = {}
    now += 30
    world.look()
    assert "delete Pod c-2" in world.said
    world.seen = formed()
    world.look(2)
    assert world.ready()["status"] == "True"


def test_a_claim_that_cannot_be_deleted_keeps_no_step_from_being_done() -> None:
    extra = tuple(Claim(o, uid=f"claim-{o}") for o in range(4))
    world = Failing(seen=dataclasses.replace(outdated(formed(), 2), claims=extra))
    world.look()
    world.fails = {"delete PersistentVolumeClaim": api_error(403, "a backup needs it")}
    world.look(2)
    assert "delete Pod c-2" in world.said
    assert "to delete claim 3: a backup needs it" in world.ready()["message"]
    world.seen = dataclasses.replace(formed(), claims=extra)
    assert world.look(2) >= SOON_S


def test_a_memory_that_is_refused_is_reported_and_what_is_done_once_waits() -> None:
    quota = api_error(403, "exceeded quota: count/configmaps=9")
    world = Failing(("ConfigMap", quota), seen=outdated(formed(), 2))
    world.look(3)
    assert "delete Pod c-2" in world.said
    assert (
        world.ready()["message"]
        == "the API server refuses ConfigMap c-memory: exceeded quota: count/configmaps=9"
    )
    first = Failing(("ConfigMap", quota), seen=formed(bootstrap=None))
    first.look(3)
    assert not [said for said in first.said if "RecordBootstrap" in said]
    world.seen, world.fails = formed(), {}
    world.look(3)
    assert world.ready()["status"] == "True"


def test_the_same_wish_is_not_repeated_with_every_pass_and_another_one_is_tried_at_once() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    pauses = []
    for _ in range(6):
        refusals.add("service", "wish", "no")
        start = now
        while refusals.waiting("service", "wish"):
            now += 1
        pauses.append(now - start)
    assert pauses == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, LAST_S, LAST_S, LAST_S]
    refusals.add("service", "wish", "no")
    assert refusals.waiting("service", "another wish") == ""
    refusals.add("service", "wish", "no", 120)
    now += 119
    assert refusals.waiting("service", "wish") == "no"
    refusals.drop("service")
    assert refusals.waiting("service", "wish") == ""


def test_a_pause_that_makes_no_sense_is_none() -> None:
    assert retry_after_s(api_error(429, Retry_After="soon")) == 0
    assert retry_after_s(api_error(429, Retry_After="1e9")) == 300
    assert retry_after_s(TimeoutError()) == 0
    assert reason(api_error(500)) == "Reason"
