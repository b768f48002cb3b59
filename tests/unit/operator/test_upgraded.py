"""What an operator of version 0.1.0 left behind: it goes on, nothing of it is lost, and what is
missing is said."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from countercluster_operator import names
from countercluster_operator.apply.memory import older_wrote
from countercluster_operator.credentials import store
from countercluster_operator.model import decode
from countercluster_operator.run import reconcile

from tests.support.unit import reconcile_world
from tests.support.unit.reconcile_world import World

nodes = reconcile_world.nodes
Object = dict[str, Any]
BOOTSTRAP = {"pod": "c-0", "nodeId": "id0"}
HASH = "#" + "a" * 64


def condition(world: World, kind: str) -> tuple[str, str]:
    found = next(c for c in world.status["conditions"] if c["type"] == kind)
    return found["status"], found["reason"]


def secret(name: str, **files: str) -> Object:
    owner = {"kind": names.KIND, "name": "c", "uid": "uid", "controller": True}
    meta = {
        "name": name,
        "namespace": "ns",
        "uid": name,
        "resourceVersion": "1",
        "ownerReferences": [owner],
    }
    data = {
        key.replace("_", "-"): base64.b64encode(value.encode()).decode()
        for key, value in files.items()
    }
    return {"kind": "Secret", "metadata": meta, "data": data}


def test_members_that_the_operator_cannot_ask_have_lost_no_quorum() -> None:
    """The nodes mount the Secret that the operator refuses, and go on with it."""
    world = World({"tls": {"secretName": "mine"}})
    for _ in range(3):
        world.look()
        assert "event QuorumLost" not in world.said
        assert not [said for said in world.said if said.startswith("delete")]
    assert (
        condition(world, "QuorumHealthy")
        == condition(world, "Available")
        == ("Unknown", "NotReached")
    )
    assert condition(world, "Degraded")[1] != "NoLeader"
    assert (
        "does not reach them; they go on"
        in next(c for c in world.status["conditions"] if c["type"] == "QuorumHealthy")["message"]
    )


def test_a_user_whose_secret_is_missing_at_the_upgrade_stays_who_he_was() -> None:
    user = {"name": "app", "rules": "~app:* +@read", "passwordSecret": {"name": "app-password"}}
    world = World({"auth": {"users": [user]}})
    world.live["Secret", "c-private"] = secret("c-private", password="word", published="word")
    acl = f"user default on {HASH} ~* +@all\nuser app on {HASH} ~app:* +@read\n"
    world.live["Secret", "c-users"] = secret("c-users", users_acl=acl)
    world.live["Secret", "c-users"]["data"] = {
        "users.acl": world.live["Secret", "c-users"]["data"]["users-acl"]
    }
    assert world.cluster is not None
    found, problems = asyncio.run(
        store.CredentialStore(world).look(decode(world.cluster, "node", "redis"))
    )  # type: ignore[arg-type]
    assert found.given.users.spec == f"user app on {HASH} ~app:* +@read\n"
    assert "spec.auth.users: app: Secret app-password is not there" in [p.text for p in problems]


def test_a_cluster_without_tls_and_without_the_words_goes_on_and_says_so() -> None:
    world = World({"tls": {"enabled": False}, "auth": {"enabled": False}})
    world.look(2)
    assert world.ready()["reason"] == "InvalidSpec", "a new one is not made"
    assert ("StatefulSet", "c") not in world.live
    old = World({"tls": {"enabled": False}, "auth": {"enabled": False}})
    assert old.cluster is not None
    old.cluster["status"] = {"bootstrap": BOOTSTRAP, "members": []}
    old.look(3)
    assert ("StatefulSet", "c") in old.live
    assert condition(old, "Ready") == ("False", "OpenPorts")
    assert "spec.tls.openPorts" in old.ready()["message"]
    assert condition(old, "Available") == ("True", "Serving")


def written_by(*managers: str, remembered: bool = False) -> Object:
    entry = {
        "subresource": "status",
        "fieldsV1": {"f:status": {"f:members": {}, "f:bootstrap": {}}},
    }
    status = {"bootstrap": BOOTSTRAP, **({"remembered": True} if remembered else {})}
    return {
        "metadata": {"managedFields": [{"manager": m, **entry} for m in managers]},
        "status": status,
    }


def test_the_status_of_an_operator_that_knows_no_memory_is_newer_than_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rolled back and forward again, it would go by members that are gone, and by a size of
    before."""
    assert older_wrote(written_by(names.FIELD_MANAGER))
    assert not older_wrote(written_by(names.FIELD_MANAGER, remembered=True))
    assert not older_wrote(written_by(names.FIELD_MANAGER, "kubectl-edit")), (
        "what anybody else wrote is no better than the memory"
    )
    assert not older_wrote({"metadata": {}, "status": {}})
    taken: list[Object | None] = []
    monkeypatch.setattr(reconcile, "recalled", lambda status, kept: taken.append(kept) or status)
    world = World()
    world.look(2)
    assert world.status["remembered"] is True
    assert taken[-1] is not None
    assert world.cluster is not None
    world.cluster["metadata"] = {
        **world.cluster["metadata"],
        **written_by(names.FIELD_MANAGER)["metadata"],
    }
    world.cluster["status"] = {k: v for k, v in world.status.items() if k != "remembered"}
    world.look()
    assert taken[-1] is None
    assert world.status["remembered"] is True
    world.look()
    assert taken[-1] is not None


def test_a_memory_of_somebody_else_is_reported() -> None:
    world = World()
    meta = {
        "name": "c-memory",
        "namespace": "ns",
        "uid": "theirs",
        "generation": 1,
        "resourceVersion": "1",
    }
    world.live["ConfigMap", "c-memory"] = {"kind": "ConfigMap", "metadata": meta, "data": {}}
    world.look()
    assert "event ChildRefused" in world.said
    world.look()
    assert "remembered" not in world.status
    assert world.ready()["status"] == "True", "the status is enough, until it is lost"
