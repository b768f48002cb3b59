"""TLS and passwords as the operator makes them, with a real API server, real nodes and real
clients: made, used, changed under load, and closed to strangers."""

from __future__ import annotations

import base64
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from countercluster import Counters, NotExecuted
from countercluster.addresses import Binding
from countercluster_operator.credentials.certificates import Names, Pair, advance, leaf
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.apiserver.conftest import own_namespace
from tests.apiserver.world import ROOT, World, world
from tests.support.certificates import now, secret_of
from tests.support.operators import Operator

pytestmark = pytest.mark.timeout(600)

QUICK = {"SPREAD_SECONDS": "2"}
SECURED: dict[str, Any] = {"tls": {}, "auth": {}}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture
def operator(here: World) -> Iterator[Operator]:
    with here.operator(**QUICK).kept() as found:
        yield found


@pytest.fixture
def namespace(here: World, request: pytest.FixtureRequest) -> Iterator[str]:
    with here.space(own_namespace(request)) as found:
        yield found


class Client:
    """The Secret `<name>-client`, mounted: `refresh` is what a kubelet does in the end. Nodes are
    reached by their addresses, as no Services are here."""

    def __init__(self, here: World, namespace: str, name: str, folder: Path) -> None:
        self._here, self._namespace, self._name, self.folder = here, namespace, name, folder
        self.refresh()

    def refresh(self) -> None:
        data = self._here.server.get(
            f"/api/v1/namespaces/{self._namespace}/secrets/{self._name}-client"
        )["data"]
        for key, value in data.items():
            fresh = (
                self.folder / f".{key}"
            )  # clients read meanwhile: never half a file, as with a mounted Secret
            fresh.write_bytes(base64.b64decode(value))
            fresh.replace(self.folder / key)

    def ips(self) -> list[str]:
        pods = self._here.server.get(f"/api/v1/namespaces/{self._namespace}/pods")["items"]
        return [pod["status"]["podIP"] for pod in pods]

    def options(self, **more: Any) -> dict[str, Any]:
        """Of a connection that looks at the authority, and not at the address: certificates carry
        names."""
        return {**Binding(self.folder).options, "ssl_check_hostname": False, **more}

    def counters(self) -> Counters:
        return Counters(
            [f"rediss://{ip}:6379" for ip in self.ips()],
            discover=False,
            deadline_s=20,
            **self.options(),
        )

    def redis(self, node: int = 0, **more: Any) -> redis.Redis:
        options = self.options(**more)
        return redis.Redis(
            host=self.ips()[node],
            port=options.pop("port", 6379),
            ssl=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
            **options,
        )


@pytest.fixture
def secured(here: World, operator: Operator, namespace: str, tmp_path: Path) -> Client:
    here.cluster(namespace, "c", **SECURED)
    here.wait_ready(namespace, "c")
    return Client(here, namespace, "c", tmp_path)


@contextlib.contextmanager
def counting(client: Client) -> Iterator[list[int]]:
    """Increments without a pause over exactly-once connections that are made anew now and then.
    Whatever fails is raised at the end."""
    stop, values, problems = threading.Event(), [], []

    def count() -> None:
        try:
            while not stop.is_set():
                with client.counters() as counters:
                    for _ in range(20):
                        values.append(counters.incr("k"))
                        stop.wait(0.01)
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield values
    finally:
        stop.set()
        thread.join()
    assert not problems, problems[0]
    assert values == list(range(1, len(values) + 1)), "each exactly once"


def test_a_cluster_is_secured_unless_told_otherwise(
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


def test_a_wrong_word_in_a_rule_reaches_no_node_and_is_told(
    here: World, secured: Client, namespace: str
) -> None:
    with reader(here, secured, namespace) as (client, user):
        before = here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-users")["data"]
        here.edit(namespace, "c", auth={"users": [{**user, "rules": "~app:* +@wrte"}]})
        here.wait(
            "it is told", lambda: here.condition(namespace, "c").get("reason") == "UsersRefused"
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


def test_a_certificate_as_the_docs_ask_cert_manager_for_it_does_and_its_renewal_is_followed(
    here: World, operator: Operator, namespace: str, tmp_path: Path
) -> None:
    """The names in docs/operating/security.md are all that is needed, under an authority of
    somebody else."""
    page = (ROOT / "docs/operating/security.md").read_text()
    block = page.split("With cert-manager")[1].split("```yaml\n")[1].split("```")[0]
    wanted = yaml.safe_load(block.replace("shop", namespace))["spec"]
    asked = Names(wanted["commonName"], tuple(wanted["dnsNames"]), (), tuple(wanted["uris"]))
    authority = advance(None, "somebody", now()).signing

    def issue() -> bytes:
        """What is shown on the wire then."""
        pair = leaf(authority, asked, now())
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
        data = {key: base64.b64encode(value).decode() for key, value in files.items()}
        meta = {"name": wanted["secretName"], "namespace": namespace}
        here.server.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": meta,
                "data": data,
            }
        ).ok()
        return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())

    first = issue()
    here.cluster(namespace, "clicks", tls={"secretName": wanted["secretName"]}, auth={})
    here.wait_ready(namespace, "clicks")
    client = Client(here, namespace, "clicks", tmp_path)

    def shown() -> set[bytes]:
        return {
            ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((ip, 6379), timeout=5))
            for ip in client.ips()
        }

    assert shown() == {first}
    with counting(client) as values:
        second = issue()
        here.wait("the nodes show the new one", lambda: shown() == {second})
        seen = len(values)
        here.wait("it goes on counting", lambda: len(values) > seen + 20)
    here.edit(
        namespace,
        "clicks",
        tls={"secretName": wanted["secretName"]},
        settings={"logLevel": "debug"},
    )
    here.wait_ready(namespace, "clicks")
    assert wanted["secretName"] not in here.server.kubectl(
        "get", "sts,pods", "-n", namespace, "-o", "yaml"
    ), "pods mount a copy"


def put(
    here: World, namespace: str, name: str, authority: Pair, usages: str = "c", replicas: int = 3
) -> bytes:
    """A Secret for CounterCluster `usages`, of an authority of somebody else; its authority."""
    here.server.apply(secret_of(authority, namespace, name, usages, replicas)).ok()
    return authority.certificate


def test_certificates_of_somebody_else_come_change_and_go_under_load_without_a_failed_command(
    here: World, secured: Client, namespace: str
) -> None:
    """In each step both authorities are trusted by everybody: clients (the Secret), nodes, and the
    operator."""
    one, two = (advance(None, name, now()).signing for name in ("one", "two"))
    put(here, namespace, "first", one)
    put(here, namespace, "second", two)
    pods = [
        pod["metadata"]["uid"]
        for pod in here.server.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    ]
    texts: set[str] = set()

    def settled(trusted: bytes | None) -> bool:
        """`trusted` is the only authority; None: one of the operator's own."""
        secured.refresh()
        found = here.get(namespace, "c")["status"]
        texts.update(c["reason"] for c in found["conditions"])
        bundle = (secured.folder / "ca.crt").read_bytes()
        alone = (
            bundle == trusted
            if trusted
            else bundle.count(b"BEGIN") == 1 and bundle not in (one.certificate, two.certificate)
        )
        return alone and not found["certificates"].get("phase")

    with counting(secured) as values:
        for name, trusted in (("first", one.certificate), ("second", two.certificate), ("", None)):
            here.edit(namespace, "c", tls={"secretName": name})
            here.wait(f"secretName {name!r} is in force", lambda t=trusted: settled(t))
            seen = len(values)
            here.wait("it goes on counting", lambda s=seen: len(values) > s + 20)
    assert not texts & {"QuorumLost", "NoLeader", "MajorityNotReady", "CertificateRefused"}
    assert [
        pod["metadata"]["uid"]
        for pod in here.server.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    ] == pods


def test_a_secret_that_is_missing_or_unfit_changes_nothing_and_is_told(
    here: World, secured: Client, namespace: str
) -> None:
    before = {
        part: here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-{part}")["data"]
        for part in ("nodes", "client", "private")
    }
    put(here, namespace, "of-another", advance(None, "somebody", now()).signing, "bank")

    def told(words: str) -> bool:
        condition = here.condition(namespace, "c")
        return condition.get("reason") == "CertificateRefused" and words in condition["message"]

    with counting(secured):
        here.edit(namespace, "c", tls={"secretName": "nowhere"})
        here.wait("it is told", lambda: told("Secret nowhere is not there"))
        here.edit(namespace, "c", tls={"secretName": "of-another"})
        here.wait("it is told", lambda: told(f"lacks URI countercluster://{namespace}/c/node/c-0"))
        here.edit(namespace, "c", tls={"secretName": "c-nodes"})
        here.wait("it is told", lambda: told("made by the operator itself"))
    assert here.condition(namespace, "c", "QuorumHealthy")["status"] == "True"
    for part, data in before.items():
        assert (
            here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-{part}")["data"] == data
        ), part
    here.edit(namespace, "c", tls={"secretName": ""})
    here.wait_ready(namespace, "c")


def test_nothing_is_made_that_mounts_a_secret_which_is_refused(
    here: World, operator: Operator, namespace: str
) -> None:
    """And once there is a fit one the cluster forms by itself."""
    data = {"token": "of somebody else", "tls.crt": "x", "tls.key": "y", "ca.crt": "z"}
    meta = {"name": "foreign", "namespace": namespace}
    here.server.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
    ).ok()
    here.cluster(namespace, "c", **{**SECURED, "tls": {"secretName": "foreign"}})
    here.wait(
        "it is told", lambda: here.condition(namespace, "c").get("reason") == "CertificateRefused"
    )
    assert here.server.get(f"/apis/apps/v1/namespaces/{namespace}/statefulsets")["items"] == []
    assert here.server.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"] == []
    put(here, namespace, "mine", advance(None, "somebody", now()).signing)
    here.edit(namespace, "c", tls={"secretName": "mine"})
    here.wait_ready(namespace, "c")
    assert "foreign" not in here.server.kubectl("get", "sts,pods", "-n", namespace, "-o", "yaml")


def test_a_client_that_does_not_know_the_authority_is_told_so(secured: Client) -> None:
    options = {**secured.options(), "ssl_ca_certs": None, "ssl_check_hostname": True}
    counters = Counters(
        f"rediss://{secured.ips()[0]}:6379", discover=False, deadline_s=2, **options
    )
    with counters, pytest.raises(NotExecuted, match="certificate"):
        counters.incr("k")
