"""What passes do about Secrets: keys, certificates, users and passwords. The API and the nodes are
in memory; tests/apiserver/ has real ones."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib

import pytest
from countercluster_operator.credentials import store
from countercluster_operator.model import decode
from countercluster_operator.run.reconcile import (
    REFUSED_S,
    Reconciler,
)
from countercluster_operator.run.settings import load
from countercluster_operator.world.observed import Observed

from tests.support.unit.credentials import GIVEN
from tests.support.unit.reconcile_world import World
from tests.support.unit.reconcile_world import nodes as nodes  # a fixture
from tests.support.unit.situations import formed


def test_secrets_are_kept_before_they_are_used_and_are_the_same_for_the_next_operator() -> None:
    world = World()
    world.look()
    assert world.said[0] == "apply Secret", "the private one"
    private = world.live["Secret", "c-private"]["data"]
    world.look(2)
    assert world.status["certificates"]["notAfter"] > "2026"
    world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
    world.look(2)
    assert world.said == []
    assert world.live["Secret", "c-private"]["data"] == private


def test_a_lost_private_secret_is_written_again_and_one_of_a_stranger_is_left_alone() -> None:
    world = World()
    world.look(2)
    private = world.live.pop(("Secret", "c-private"))
    world.wanted.clear()
    world.reconciler.watched("Secret", private, gone=True)
    world.look()
    assert world.live["Secret", "c-private"]["data"] == private["data"]
    world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
    world.live["Secret", "c-private"]["metadata"] |= {"ownerReferences": [], "labels": {}}
    assert world.look() == REFUSED_S
    assert world.ready()["reason"] == "ChildRefused"
    assert "c-private was there already" in world.ready()["message"]


def test_an_operator_that_finds_no_private_secret_carries_on_what_the_pods_trust() -> None:
    world = World()
    world.look(2)
    trusted = world.live["Secret", "c-nodes"]["data"]
    del world.live["Secret", "c-private"]
    world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
    world.wanted.clear()
    world.look()
    now = world.live["Secret", "c-nodes"]["data"]
    assert now["tls.crt"] == trusted["tls.crt"], (
        "the certificate is good as long as its authority is trusted"
    )
    assert base64.b64decode(now["ca.crt"]).endswith(base64.b64decode(trusted["ca.crt"]))
    assert now["ca.crt"] != trusted["ca.crt"]


def test_a_user_without_a_password_and_a_missing_secret_of_certificates_are_reported() -> None:
    user = {"name": "app", "rules": "~app:* +@read", "passwordSecret": {"name": "app-password"}}
    world = World({"auth": {"users": [user]}, "tls": {"secretName": "mine"}})
    world.look(2)
    assert "spec.tls.secretName: Secret mine is not there" in world.ready()["message"]
    assert "spec.auth.users: app: Secret app-password is not there" in world.ready()["message"]
    meta = {"name": "app-password", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    world.live["Secret", "app-password"] = {
        "kind": "Secret",
        "metadata": meta,
        "data": {"password": base64.b64encode(b"word").decode()},
    }
    world.look(2)
    users = base64.b64decode(world.live["Secret", "c-users"]["data"]["users.acl"]).decode()
    assert f"user app on #{hashlib.sha256(b'word').hexdigest()} ~app:* +@read\n" in users
    assert "app-password" not in world.ready()["message"]


def test_a_new_cluster_whose_certificates_are_refused_makes_nothing_that_mounts_them() -> None:
    world = World({"tls": {"secretName": "mine"}})
    world.look(3)
    assert ("StatefulSet", "c") not in world.live
    assert ("Deployment", "c-cache") not in world.live
    assert world.ready()["reason"] == "CertificateRefused"
    assert world.said == []


def test_nodes_of_0_1_0_that_mount_a_secret_of_their_own_are_reached_in_the_first_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That version kept no copy of it; to reach nobody would be reported as a lost quorum."""
    monkeypatch.setattr(store, "judge", lambda *_: (GIVEN["one"], []))
    world = World({"tls": {"secretName": "mine"}})
    assert world.cluster is not None
    cluster = decode(world.cluster, "node", "redis")
    found = store.CredentialStore(world)  # type: ignore[arg-type]
    asyncio.run(found.look(cluster))
    context = found.context(cluster)
    assert context is not None
    assert len(context.get_ca_certs()) == 1, "the Secret's own authority and no other"


def test_a_secret_that_is_unfit_changes_nothing_on_a_live_cluster() -> None:
    world = World()
    world.look(2)
    before = {
        name: manifest["data"] for (kind, name), manifest in world.live.items() if kind == "Secret"
    }
    assert world.cluster is not None
    world.cluster["spec"] = {"tls": {"secretName": "mine"}}
    meta = {"name": "mine", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    world.live["Secret", "mine"] = {
        "kind": "Secret",
        "metadata": meta,
        "data": {"token": base64.b64encode(b"word").decode()},
    }
    for _ in range(2):
        world.look(3)
        assert {
            n: m["data"] for (k, n), m in world.live.items() if k == "Secret" and n != "mine"
        } == before
        assert (
            world.ready()["message"]
            == "spec.tls.secretName: Secret mine has no tls.crt, tls.key, ca.crt"
        )
        world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
    mounted = {
        v["secret"]["secretName"]
        for v in world.live["StatefulSet", "c"]["spec"]["template"]["spec"]["volumes"]
    }
    assert mounted == {"c-nodes", "c-users"}


def users_in_force(world: World) -> str:
    return base64.b64decode(world.live["Secret", "c-users"]["data"]["users.acl"]).decode()


def test_a_wrong_word_in_a_rule_is_reported_and_the_last_good_users_stay() -> None:
    user = {"name": "app", "rules": "~app:* +@read", "passwordSecret": {"name": "word"}}
    world = World({"auth": {"users": [user]}})
    meta = {"name": "word", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    world.live["Secret", "word"] = {
        "kind": "Secret",
        "metadata": meta,
        "data": {"password": base64.b64encode(b"word").decode()},
    }
    world.look(3)
    before = users_in_force(world)
    assert world.ready()["status"] == "True"
    assert world.cluster is not None
    world.cluster["spec"] = {"auth": {"users": [{**user, "rules": "~app:* +@wrte"}]}}
    for _ in range(2):
        world.look(3)
        assert users_in_force(world) == before
        assert world.ready()["reason"] == "UsersRefused"
        assert "app: '+@wrte' in its rules: there is no category @wrte" in world.ready()["message"]
        world.reconciler = Reconciler(world, load({"POD_NAMESPACE": "system"}))  # type: ignore[arg-type]
    del world.live["Secret", "c-private"]
    world.wanted.clear()
    world.look(2)
    assert users_in_force(world) == before, "nor is it forgotten with the private Secret"


def telling(seen: Observed, digests: list[str], error: str = "") -> Observed:
    """What each node says of its users."""
    said = zip(seen.pods, digests, strict=True)
    pods = [
        dataclasses.replace(
            p, status=p.status and dataclasses.replace(p.status, users_digest=d, users_error=error)
        )
        for p, d in said
    ]
    return dataclasses.replace(seen, pods=tuple(pods))


def test_a_new_password_is_given_out_when_every_node_says_that_it_knows_it_and_not_before() -> None:
    def given_out() -> str:
        return base64.b64decode(world.live["Secret", "c-client"]["data"]["password"]).decode()

    world = World({"auth": {}, "cache": {"enabled": False}})
    world.look(2)
    old, before = given_out(), hashlib.sha256(users_in_force(world).encode()).hexdigest()[:16]
    assert world.cluster is not None
    world.cluster["spec"]["auth"] = {"rotatePassword": "monday"}
    world.seen = telling(world.seen, [before] * 3)
    world.look(2)
    after = hashlib.sha256(users_in_force(world).encode()).hexdigest()[:16]
    for digests in ([before] * 3, [after, after, before]):
        world.seen = telling(world.seen, digests)
        world.look(2)
        assert given_out() == old
    silent = telling(world.seen, [after] * 3)
    pods = [dataclasses.replace(p, status=None) if p.ordinal == 2 else p for p in silent.pods]
    world.seen = dataclasses.replace(silent, pods=tuple(pods))
    world.look(2)
    assert given_out() == old, "who runs and does not answer may not know it"
    world.seen = silent
    world.look(2)
    assert given_out() != old
    assert world.status["rotatedPassword"] == "monday"


def test_a_node_that_does_not_use_its_newest_users_is_reported() -> None:
    world = World(seen=telling(formed(), ["", "", ""], "line 3: nonsense"))
    world.look(2)
    assert world.ready()["reason"] == "UsersRefused"
    assert "c-0 does not use its newest users: line 3: nonsense" in world.ready()["message"]
