"""TLS and passwords as the operator makes them, with a real API server, real nodes and real
clients: made, used, changed under load, and closed to strangers."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from countercluster import Counters, NotExecuted
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.apiserver.secured import (
    QUICK,
    SECURED,
    Client,
    counting,
)
from tests.apiserver.secured import here as here  # fixtures
from tests.apiserver.secured import namespace as namespace
from tests.apiserver.secured import operator as operator
from tests.apiserver.secured import secured as secured
from tests.apiserver.world import World
from tests.support.operators import Operator

pytestmark = pytest.mark.timeout(600)


def test_a_cluster_is_secured_unless_the_spec_says_otherwise(
    here: World, secured: Client, namespace: str
) -> None:
    with secured.counters() as counters:
        assert counters.incr("k") == 1
    with secured.redis() as client:
        assert client.acl_whoami() == "default"
    with (
        secured.redis(credential_provider=None) as nobody,
        pytest.raises(redis.AuthenticationError),
    ):
        nobody.incr("k")
    with (
        secured.redis(credential_provider=None, password="wrong") as guesser,
        pytest.raises(redis.AuthenticationError),
    ):
        guesser.incr("k")
    with (
        redis.Redis(host=secured.ips()[0], retry=Retry(NoBackoff(), 0), socket_timeout=5) as plain,
        pytest.raises(redis.RedisError),
    ):
        plain.ping()
    with secured.redis(port=7001) as stranger, pytest.raises((redis.RedisError, OSError)):
        stranger.execute_command("RAFT.STATUS")
    status = here.get(namespace, "c")["status"]
    assert status["certificates"]["notAfter"] < status["certificates"]["authorityNotAfter"]


def test_no_secret_is_in_a_log_an_event_or_the_status(
    here: World, secured: Client, namespace: str
) -> None:
    private = here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-private")["data"]
    said = "".join(
        path.read_text()
        for path in [*here.folder.glob("operator-*.log"), here.folder / "machine" / "log"]
    )
    said += here.server.kubectl("get", "cc,events,pods,sts", "-n", namespace, "-o", "yaml")
    for key in ("password", "cache-password", "authority.key", "nodes.key"):
        value = base64.b64decode(private[key]).decode()
        assert value not in said, key
        assert private[key] not in said, key


def test_a_new_authority_under_load_fails_no_command_and_the_old_one_is_trusted_no_more(
    here: World, secured: Client, namespace: str
) -> None:
    old = (secured.folder / "ca.crt").read_bytes()
    phases: set[str] = set()

    def done() -> bool:
        found = here.get(namespace, "c")["status"]["certificates"]
        secured.refresh()  # afterwards: what was read before may be of the phase before
        phases.add(found.get("phase", ""))
        return found.get("rotated") == "now" and not found.get("phase")

    with counting(secured) as values:
        here.edit(namespace, "c", tls={"rotateAuthority": "now"})
        here.wait("the authority is changed", done)
        seen = len(values)
        here.wait("it goes on counting", lambda: len(values) > seen + 20)
    assert {"publish", "re-issue"} <= phases
    assert old not in (secured.folder / "ca.crt").read_bytes()
    past = secured.folder / "past.crt"
    past.write_bytes(old)
    with secured.redis(ssl_ca_certs=str(past)) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert here.condition(namespace, "c")["status"] == "True"


def test_a_new_password_is_good_at_once_and_the_old_one_for_a_day(
    here: World, secured: Client, namespace: str
) -> None:
    old = (secured.folder / "password").read_text()

    def changed() -> bool:
        secured.refresh()
        return (secured.folder / "password").read_text() != old

    with counting(secured):
        here.edit(namespace, "c", auth={"rotatePassword": "monday"})
        here.wait("the password is changed", changed)
        for node in range(3):
            with secured.redis(node=node) as client:
                assert client.ping(), "whoever is given it can log in at once"
    with secured.redis(credential_provider=None, password=old) as client:
        assert client.ping()
    assert here.get(namespace, "c")["status"]["rotatedPassword"] == "monday"


def works(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.AuthenticationError:
        return False


@contextlib.contextmanager
def reader(
    here: World, secured: Client, namespace: str
) -> Iterator[tuple[redis.Redis, dict[str, Any]]]:
    """A user of the spec who may read some counters: logged in, and as it stands in the spec."""
    meta = {"name": "reports", "namespace": namespace}
    here.server.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": meta,
            "stringData": {"password": "read-only"},
        }
    ).ok()
    user = {
        "name": "reports",
        "rules": "~app:* +@read +ping",
        "passwordSecret": {"name": "reports"},
    }
    here.edit(namespace, "c", auth={"users": [user]})
    with secured.redis(
        credential_provider=None, username="reports", password="read-only"
    ) as client:
        here.wait("the nodes know the user", lambda: works(client))
        yield client, user


def test_users_of_the_spec_have_their_own_rights_and_lose_them_at_once(
    here: World, secured: Client, namespace: str
) -> None:
    with reader(here, secured, namespace) as (client, _):
        assert client.get("app:1") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.incr("app:1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("other")
        here.edit(namespace, "c", auth={"users": []})
        here.wait("the user is gone", lambda: not still_reads(client))


def test_a_wrong_word_in_a_rule_reaches_no_node_and_is_reported(
    here: World, secured: Client, namespace: str
) -> None:
    with reader(here, secured, namespace) as (client, user):
        before = here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-users")["data"]
        here.edit(namespace, "c", auth={"users": [{**user, "rules": "~app:* +@wrte"}]})
        here.wait(
            "it is reported", lambda: here.condition(namespace, "c").get("reason") == "UsersRefused"
        )
        assert "reports: '+@wrte' in its rules" in here.condition(namespace, "c")["message"]
        assert here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-users")["data"] == before
        assert client.get("app:1") is None
    here.edit(namespace, "c", auth={"users": [user]})
    here.wait_ready(namespace, "c")


def test_a_new_password_is_given_out_as_soon_as_every_node_knows_it(
    here: World, namespace: str, tmp_path: Path
) -> None:
    """And not after ten minutes, which is what this operator has."""
    with here.operator().kept():
        here.cluster(namespace, "c", **SECURED)
        here.wait_ready(namespace, "c")
        client = Client(here, namespace, "c", tmp_path)
        here.edit(namespace, "c", auth={"rotatePassword": "monday"})
        here.wait(
            "it is given out",
            lambda: here.get(namespace, "c")["status"].get("rotatedPassword") == "monday",
        )
        client.refresh()
        for node in range(3):
            with client.redis(node=node) as connection:
                assert connection.ping()


def still_reads(client: redis.Redis) -> bool:
    try:
        client.get("app:1")
    except redis.RedisError:
        return False
    return True


def test_another_operator_and_a_lost_secret_change_nothing_for_clients(
    here: World, secured: Client, operator: Operator, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets/c-"
    before = {
        name: here.server.get(path + name)["data"]
        for name in ("private", "nodes", "users", "client")
    }
    with counting(secured):
        for name in before:
            here.server.request("DELETE", path + name).ok()
        here.wait(
            "all Secrets are back",
            lambda: all(here.server.request("GET", path + name).status == 200 for name in before),
        )
    assert {name: here.server.get(path + name)["data"] for name in before} == before


def test_a_new_operator_that_finds_no_private_secret_carries_on_with_what_pods_and_clients_have(
    here: World, namespace: str, tmp_path: Path
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets/c-"
    with here.operator(**QUICK).kept():
        here.cluster(namespace, "c", **SECURED)
        here.wait_ready(namespace, "c")
    client = Client(here, namespace, "c", tmp_path)
    old, password = (tmp_path / "ca.crt").read_bytes(), (tmp_path / "password").read_text()
    here.server.request("DELETE", path + "private").ok()

    def replaced() -> bool:
        client.refresh()
        return old not in (tmp_path / "ca.crt").read_bytes()

    with counting(client), here.operator(**QUICK).kept():
        here.wait("another authority takes over", replaced)
        here.wait_ready(namespace, "c")
    assert (tmp_path / "password").read_text() == password


def test_a_client_that_does_not_know_the_authority_learns_the_cause(secured: Client) -> None:
    options = {**secured.options(), "ssl_ca_certs": None, "ssl_check_hostname": True}
    counters = Counters(
        f"rediss://{secured.ips()[0]}:6379", discover=False, deadline_s=2, **options
    )
    with counters, pytest.raises(NotExecuted, match="certificate"):
        counters.incr("k")
