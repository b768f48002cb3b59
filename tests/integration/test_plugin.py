"""How `kubectl counters` enters nodes: real ones with TLS and passwords, and plain ones. That it
finds all this in a Kubernetes: tests/apiserver."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubectl_counters.connector import Connector, Files
from kubectl_counters.kube import Trouble
from kubectl_counters.nodes import Nodes, Unconfirmed

from tests.support.certificates import Folder
from tests.support.devcluster import DevCluster

PASSWORD = "open-sesame"
HOSTS = ("localhost", "clicks.shop.svc")
PORTS = {6379: "resp", 7001: "admin", 8080: "http"}


def cluster(enabled: bool = True, **tls: Any) -> dict[str, Any]:
    spec = {"tls": {"enabled": enabled, **tls}, "auth": {"enabled": enabled}}
    return {"metadata": {"name": "clicks", "namespace": "shop"}, "spec": spec}


def pod(node: int) -> dict[str, Any]:
    return {"metadata": {"name": f"node-{node}"}}


def secrets(folder: Folder) -> dict[str, Files]:
    """As the operator makes them."""
    read = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    client = {"username": b"default", "password": PASSWORD.encode(), "ca.crt": read["ca.crt"]}
    private = {"admin.crt": read["operator.crt"], "admin.key": read["operator.key"]}
    given = {
        "tls.crt": read["operator.crt"],
        "tls.key": read["operator.key"],
        "ca.crt": read["ca.crt"],
    }
    return {"clicks-client": client, "clicks-private": private, "ours": given}


def reading(found: dict[str, Files], asked: list[str] | None = None) -> Callable[[str], Files]:
    def read(name: str) -> Files:
        if asked is not None:
            asked.append(name)
        if name not in found:
            raise Trouble(f'secrets "{name}" is forbidden')
        return found[name]

    return read


class Dial:
    def __init__(self, nodes: DevCluster) -> None:
        self._nodes = nodes

    def __call__(self, pod: Any, port: int) -> socket.socket:
        node = int(pod["metadata"]["name"][-1])
        where = (
            self._nodes.resp_port(node)
            if PORTS[port] == "resp"
            else self._nodes.ports(node)[PORTS[port]]
        )
        return socket.create_connection(("127.0.0.1", where), timeout=15)


@contextlib.contextmanager
def started(path: Path, folder: Folder | None) -> Iterator[DevCluster]:
    environment = {}
    if folder is not None:
        users = path / "users.acl"
        users.write_text(
            f"user default on #{hashlib.sha256(PASSWORD.encode()).hexdigest()} ~* +@all\n"
        )
        environment = {**folder.environment, "COUNTER_ACL_FILE": str(users)}
    nodes = DevCluster(path / "cluster", 3, environment=environment)
    if folder is not None:
        nodes.client_options, nodes.admin_options = (
            {**folder.client, "password": PASSWORD},
            folder.operator,
        )
    with nodes:
        yield nodes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("certificates") / "tls", 3, hosts=HOSTS)


@pytest.fixture(scope="module")
def secured(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with started(tmp_path_factory.mktemp("secured"), folder) as nodes:
        yield nodes


def leader(nodes: Nodes) -> int:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for n in range(3):
            if nodes.status(pod(n)).get("role") == "leader":
                return n
        time.sleep(0.2)
    raise AssertionError("nobody leads")


def hand_over(nodes: Nodes) -> None:
    before = leader(nodes)
    other = (before + 1) % 3
    nodes.transfer(pod(before), nodes.status(pod(other))["nodeId"])
    end = time.monotonic() + 20
    while leader(nodes) != other:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_secured_cluster_is_read_counted_in_and_administered(
    secured: DevCluster, folder: Folder
) -> None:
    asked: list[str] = []
    nodes = Nodes(Dial(secured), Connector(cluster(), reading(secrets(folder), asked)))
    assert nodes.status(pod(1))["name"] == "node-1"
    assert "counter_raft_term" in nodes.page(pod(0), "/metrics")
    assert nodes.command(pod(2), "INCRBY", "visits", 7) == 7
    assert list(nodes.scan(pod(0), "vis*")) == [[("visits", "")]]
    [[(name, value)]] = nodes.scan(pod(0), "vis*", values=True)
    assert (name, value) == ("visits", nodes.command(pod(0), "GET", "visits"))
    assert set(asked) == {"clicks-client"}, "what administers is asked for by those who administer"
    hand_over(nodes)
    assert set(asked) == {"clicks-client", "clicks-private"}


def test_certificates_from_elsewhere_administer_with_those_of_the_nodes(
    secured: DevCluster, folder: Folder
) -> None:
    """As an operator of 0.1.0 left them: nothing in the private Secret shows the operator to the
    nodes."""
    found = secrets(folder) | {"clicks-private": {"password": PASSWORD.encode()}}
    hand_over(Nodes(Dial(secured), Connector(cluster(secretName="ours"), reading(found))))


def test_who_may_not_read_secrets_sees_the_state_and_does_not_count(secured: DevCluster) -> None:
    nodes = Nodes(Dial(secured), Connector(cluster(), reading({})))
    assert nodes.status(pod(0))["ready"] in (True, False)
    with pytest.raises(Trouble, match=r'secrets "clicks-client" is forbidden'):
        nodes.command(pod(0), "INCR", "visits")
    with pytest.raises(Trouble, match="is forbidden"):
        nodes.transfer(pod(0))


def test_who_may_count_but_not_administer_learns_which_secret_it_takes(
    secured: DevCluster, folder: Folder
) -> None:
    found = secrets(folder)
    del found["clicks-private"]
    nodes = Nodes(Dial(secured), Connector(cluster(), reading(found)))
    assert nodes.command(pod(0), "ECHO", "hello") == "hello"
    with pytest.raises(Trouble, match=r'secrets "clicks-private" is forbidden'):
        nodes.transfer(pod(0))


def test_a_node_of_another_authority_or_name_gets_no_password(
    secured: DevCluster, folder: Folder, tmp_path: Path
) -> None:
    strangers = Folder(tmp_path / "strangers", 3, hosts=HOSTS)
    mixed = {
        **secrets(folder),
        "clicks-client": {
            **secrets(folder)["clicks-client"],
            "ca.crt": (strangers.path / "ca.crt").read_bytes(),
        },
    }
    with pytest.raises(
        Trouble, match=r"TLS with clicks\.shop\.svc: .*(?i:certificate.verify.failed)"
    ) as caught:
        Nodes(Dial(secured), Connector(cluster(), reading(mixed))).command(pod(0), "INCR", "visits")
    assert not isinstance(caught.value, Unconfirmed), "nothing was sent"
    elsewhere = cluster()
    elsewhere["metadata"]["namespace"] = "office"
    with pytest.raises(Trouble, match=r"(?i)hostname mismatch"):
        Nodes(Dial(secured), Connector(elsewhere, reading(secrets(folder)))).command(
            pod(0), "INCR", "visits"
        )


def test_a_wrong_password_counts_nothing_and_is_named(secured: DevCluster, folder: Folder) -> None:
    wrong = {
        **secrets(folder),
        "clicks-client": {**secrets(folder)["clicks-client"], "password": b"guess"},
    }
    with pytest.raises(Trouble, match=r"(?i)invalid username-password") as caught:
        Nodes(Dial(secured), Connector(cluster(), reading(wrong))).command(pod(0), "INCR", "visits")
    assert not isinstance(caught.value, Unconfirmed)
    assert "guess" not in str(caught.value)


def test_keys_are_gone_from_the_disk_when_the_command_ends(
    secured: DevCluster, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Nodes(Dial(secured), Connector(cluster(), reading(secrets(folder)))).transfer(
        pod(leader(Nodes(Dial(secured), Connector(cluster(), reading({})))))
    )
    assert os.listdir(tmp_path) == []


def test_a_cluster_in_plain_text_needs_no_secret(tmp_path: Path) -> None:
    with started(tmp_path, None) as plain:
        nodes = Nodes(Dial(plain), Connector(cluster(enabled=False), reading({})))
        assert json.loads(nodes.page(pod(0), "/status"))["name"] == "node-0"
        assert nodes.command(pod(0), "INCR", "visits") == 1
        hand_over(nodes)
