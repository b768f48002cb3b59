"""A CounterCluster or its namespace goes away at every single request of a pass: the pass ends, and
nothing has failed.

What the API server answers then (measured on Kubernetes 1.37, and held to it by
tests/apiserver/test_going.py): a namespace that is being deleted takes no new object (403 with the
cause NamespaceTerminating) and lets what is there be changed; one that is gone has nothing (404);
an object that is being deleted cannot be made again yet (409); a status with the version of an
object that is gone or was changed is refused (409)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from countercluster_operator.credentials import issued, store
from countercluster_operator.credentials.issued import Credentials
from countercluster_operator.run.lease import NotLeading
from countercluster_operator.run.reconcile import AT_ONCE_S, AT_REST_S, SOON_S
from countercluster_operator.world.api import is_terminating
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit.reconcile_world import KEY, Object, World, nodes
from tests.support.unit.situations import formed, outdated

__all__ = ["nodes"]  # a fixture
MAX_REQUESTS = 200


def refusal(status: int, cause: str = "") -> ApiException:
    error = ApiException(status=status)
    error.body = json.dumps(
        {
            "kind": "Status",
            "message": "words",
            "details": {"causes": [{"reason": cause}] if cause else []},
        }
    )
    return error


class Going(World):
    """From request number `last` on, `how` is so."""

    def __init__(self, how: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.how, self.requests, self.last = how, 0, MAX_REQUESTS
        self.reasons: list[str] = []

    def _now(self) -> str:
        self.requests += 1
        if self.requests <= self.last:
            return ""
        if self.cluster is not None:
            meta = self.cluster["metadata"]
            if self.how == "namespace gone":
                self.cluster = None
                self.live.clear()
            elif self.how == "deleted":
                self.cluster = None
            elif self.how == "being deleted":
                meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            elif self.how == "made again":
                if meta["uid"] != "another":
                    new = {**meta, "uid": "another", "resourceVersion": "9"}
                    self.cluster = {**self.cluster, "metadata": new}
                    self.cluster.pop("status", None)
                self._collect("another")
        return self.how

    def _collect(self, uid: str) -> None:
        """Garbage: what belongs to another than this."""
        for key, live in list(self.live.items()):
            if [o["uid"] for o in live["metadata"]["ownerReferences"]] != [uid]:
                del self.live[key], self.wanted[key]

    async def get(self, version: str, kind: str, namespace: str, name: str) -> Object | None:
        self._now()
        return await super().get(version, kind, namespace, name)

    async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
        how = self._now()
        meta = manifest["metadata"]
        if subresource:
            if self.cluster is None:
                raise refusal(404)
            if meta["resourceVersion"] != self.cluster["metadata"]["resourceVersion"]:
                raise refusal(409)
        elif how == "namespace gone":
            raise refusal(404)
        elif (manifest["kind"], meta["name"]) not in self.live and how == "namespace terminating":
            raise refusal(403, "NamespaceTerminating")
        return await super().apply(manifest, subresource=subresource)

    async def create(self, manifest: Object) -> Object:
        how = self._now()
        if how == "namespace gone":
            raise refusal(404)
        if how == "namespace terminating":
            raise refusal(403, "NamespaceTerminating")
        self.reasons.append(manifest["reason"])
        return await super().create(manifest)

    async def delete(self, *arguments: Any, **more: Any) -> None:
        self._now()
        await super().delete(*arguments, **more)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once: these tests are about what is done with them."""
    made: list[Any] = []

    def renewed(*arguments: Any, **more: Any) -> Any:
        if arguments[0] == Credentials():
            made or made.append(issued.renewed(*arguments, **more))
            return made[0]
        return issued.renewed(*arguments, **more)

    monkeypatch.setattr(store, "renewed", renewed)


PLAIN = {"tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"}}


def first(how: str) -> Going:
    """Nothing is there yet."""
    return Going(how, PLAIN)


def rolling(how: str) -> Going:
    """All is there; a pod is to be restarted, and a Service was deleted by somebody."""
    world = Going(how, PLAIN)
    world.look(2)
    world.seen = outdated(formed(), 2)
    del world.live["Service", "c-peers"]
    world.wanted.pop(("Service", "c-peers"))
    return world


HOWS = ("namespace terminating", "namespace gone", "deleted", "being deleted", "made again")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("before", [first, rolling])
def test_whatever_goes_away_at_whatever_request_fails_no_pass(
    how: str, before: Callable[[str], Going], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    last, requests = 0, 1
    while last < requests:
        world = before(how)
        world.requests, world.last = 0, last
        caplog.clear()
        world.reasons.clear()
        world.look(3)  # raises what would be a failed pass
        requests = world.requests
        assert requests < MAX_REQUESTS
        again = world.look()
        assert "ChildRefused" not in world.reasons, f"at request {last}"
        assert not [r.getMessage() for r in caplog.records if r.levelno > logging.INFO], (
            f"at request {last}"
        )
        if how in ("namespace gone", "deleted", "being deleted"):
            assert again is None, f"it is not forgotten, at request {last}"
        last += 1
    assert last > 5


def test_a_cluster_of_a_namespace_that_is_being_deleted_is_observed_rarely() -> None:
    world = Going("namespace terminating")
    world.last = 0
    assert world.look() == AT_REST_S
    assert not world.reasons


def test_only_the_api_servers_own_words_say_that_a_namespace_is_terminating() -> None:
    assert is_terminating(refusal(403, "NamespaceTerminating"))
    assert not is_terminating(refusal(403))
    assert not is_terminating(refusal(409, "NamespaceTerminating"))
    for body in ("", "Forbidden: a page", "[]", "null", '{"details": null}', None):
        error = ApiException(status=403)
        error.body = body
        assert not is_terminating(error)


@pytest.mark.parametrize("status", [404, 409])
def test_a_child_that_goes_in_the_moment_of_the_write_is_made_with_the_next_pass(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.look(2)
    del world.live["Service", "c"]
    world.wanted.pop(("Service", "c"))
    busy = True

    async def apply(manifest: Object, *, subresource: str = "") -> Object:
        if busy and (manifest["kind"], manifest["metadata"]["name"]) == ("Service", "c"):
            raise refusal(status)
        return await World.apply(world, manifest, subresource=subresource)

    monkeypatch.setattr(world, "apply", apply)
    assert world.look() == SOON_S
    assert not [said for said in world.said if said.startswith("event")], "it is no refusal"
    assert world.ready()["status"] == "True"
    busy = False
    world.look()
    assert ("Service", "c") in world.live


def test_the_status_is_of_the_object_that_was_observed() -> None:
    """The API server refuses a status whose version is that of another one."""
    sent: list[Object] = []

    class Noting(World):
        async def apply(self, manifest: Object, *, subresource: str = "") -> Object:
            if subresource:
                sent.append(manifest["metadata"])
            return await super().apply(manifest, subresource=subresource)

    Noting().look(2)
    Noting({"replicas": 9}).look()
    assert [meta["resourceVersion"] for meta in sent] == ["1"] * len(sent)
    assert len(sent) >= 3


def test_a_cluster_that_is_edited_during_the_pass_is_observed_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()

    async def apply(manifest: Object, *, subresource: str = "") -> Object:
        if subresource:
            raise refusal(409)
        return await World.apply(world, manifest)

    monkeypatch.setattr(world, "apply", apply)
    assert world.look() == AT_ONCE_S


def test_no_write_outlives_its_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """One child fails at once while another one is still being written."""
    world = World()
    written: list[str] = []

    async def apply(manifest: Object, *, subresource: str = "") -> Object:
        if manifest["kind"] == "PodDisruptionBudget":
            raise NotLeading("not any more")
        if manifest["kind"] == "StatefulSet":
            await asyncio.sleep(0.05)
            written.append("StatefulSet")
        return await World.apply(world, manifest, subresource=subresource)

    monkeypatch.setattr(world, "apply", apply)

    async def run() -> list[str]:
        with pytest.raises(NotLeading):
            await world.reconciler.reconcile(KEY)
        return list(written)

    assert asyncio.run(run()) == ["StatefulSet"]
