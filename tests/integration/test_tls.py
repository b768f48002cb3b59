"""TLS on every port of real nodes: who gets in, who does not, and what a change of certificates
costs."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from counter_node.net.frames import Hello, frame
from countercluster_operator.credentials.certificates import Pair, leaf

from tests.support.certificates import Folder, now
from tests.support.devcluster import DevCluster


@contextlib.contextmanager
def secured(tmp_path: Path, nodes: int = 3, *options: str) -> Iterator[tuple[DevCluster, Folder]]:
    folder = Folder(tmp_path / "tls", nodes)
    cluster = DevCluster(tmp_path / "cluster", nodes, *options, environment=folder.environment)
    cluster.client_options, cluster.admin_options = folder.client, folder.operator
    with cluster:
        yield cluster, folder


def metric(cluster: DevCluster, folder: Folder, node: int, name: str) -> float:
    context = ssl.create_default_context(cafile=str(folder.path / "ca.crt"))
    with urllib.request.urlopen(
        f"https://localhost:{cluster.ports(node)['http']}/metrics", timeout=30, context=context
    ) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


def wait_metric(
    cluster: DevCluster,
    folder: Folder,
    name: str,
    least: float,
    nodes: list[int] | None = None,
    timeout_s: float = 150,
) -> None:
    """On those nodes, or on all."""
    end = time.monotonic() + timeout_s
    while any(metric(cluster, folder, n, name) < least for n in (nodes or range(cluster.size))):
        assert time.monotonic() < end, (
            f"{name} is not {least} after {timeout_s} s\n{cluster.logs()}"
        )
        time.sleep(0.1)


def wait_served(cluster: DevCluster, folder: Folder, timeout_s: float = 150) -> None:
    """Until every node shows the certificate that is in the folder."""
    end = time.monotonic() + timeout_s
    for node in range(cluster.size):
        wanted = ssl.PEM_cert_to_DER_cert((folder.path / f"node-{node}.crt").read_text())
        while (
            ssl.PEM_cert_to_DER_cert(
                ssl.get_server_certificate(("127.0.0.1", cluster.resp_port(node)), timeout=30)
            )
            != wanted
        ):
            assert time.monotonic() < end, (
                f"node {node} keeps its old certificate\n{cluster.logs()}"
            )
            time.sleep(0.1)


def test_who_has_the_authority_counts_and_strangers_get_nowhere(tmp_path: Path) -> None:
    with secured(tmp_path) as (cluster, folder):
        with cluster.client(1) as client:
            assert client.incr("a") == 1
        strangers = Folder(tmp_path / "strangers", 3)
        with pytest.raises(redis.ConnectionError, match=r"(?i)certificate.verify.failed"):
            cluster.client(0, ssl_ca_certs=str(strangers.path / "ca.crt")).ping()
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            redis.Redis(
                host="127.0.0.1", port=cluster.resp_port(0), socket_timeout=3
            ).ping()  # plain text
        good = cluster.admin_options
        # Without a certificate; with one of another authority.
        for options in (
            folder.client,
            {**strangers.operator, "ssl_ca_certs": good["ssl_ca_certs"]},
        ):
            cluster.admin_options = options
            with pytest.raises((redis.ConnectionError, OSError)):
                cluster.admin(0, "RAFT.STATUS")
        cluster.admin_options = good
        cluster.wait_ready()
        assert metric(cluster, folder, 0, 'counter_refusals_total{reason="tls_handshake"}') >= 3
        assert (
            metric(cluster, folder, 0, "counter_certificate_not_after_seconds")
            > time.time() + 89 * 86_400
        )


def test_a_certificate_of_the_same_authority_for_another_cluster_does_not_administer_this_one(
    tmp_path: Path,
) -> None:
    with secured(tmp_path, 1) as (cluster, folder):
        other = Folder(tmp_path / "other", 1, cluster="another")
        other.authority = folder.authority
        other.issue()
        cluster.admin_options = other.operator
        with pytest.raises((redis.ConnectionError, OSError)):
            cluster.admin(0, "RAFT.STATUS")
        assert metric(cluster, folder, 0, 'counter_refusals_total{reason="peer_identity"}') == 1


def test_a_node_cannot_take_the_place_of_another(tmp_path: Path) -> None:
    """Node 2 gets the certificate of node 1: it does not even start; nor does it get in by a
    certificate read later."""
    with secured(tmp_path) as (cluster, folder):
        folder.write("node-2", _pair(folder, "node-1"))
        wait_metric(cluster, folder, "counter_certificate_reload_failures_total", 1, nodes=[2])
        cluster.read(
            2, "a"
        )  # what it had before goes on; on a busy machine there may be an election at this moment


def _pair(folder: Folder, stem: str) -> Pair:
    return Pair(
        (folder.path / f"{stem}.crt").read_bytes(), (folder.path / f"{stem}.key").read_bytes()
    )


def test_a_greeting_in_the_name_of_another_node_is_refused(tmp_path: Path) -> None:
    with secured(tmp_path, 1) as (cluster, folder):
        folder.write("node-9", leaf(folder.authority.signing, folder.names("node/node-9"), now()))
        context = ssl.create_default_context(cafile=str(folder.path / "ca.crt"))
        context.load_cert_chain(folder.path / "node-9.crt", folder.path / "node-9.key")
        me = int(cluster.status(0)["nodeId"], 16)
        answers = []
        for name in ("node-0", "node-9"):
            plain = socket.create_connection(("127.0.0.1", cluster.ports(0)["peer"]), timeout=10)
            with context.wrap_socket(plain, server_hostname="localhost") as link:
                link.sendall(frame(Hello("devcluster", 77, me, name, "127.0.0.1:1", "127.0.0.1:2")))
                answers.append(link.recv(4096))
        assert b"the certificate is not that of node 'node-0'" in answers[0]
        assert b"certificate" not in answers[1]
        assert metric(cluster, folder, 0, 'counter_refusals_total{reason="peer_identity"}') >= 1


class Load:
    """Increments on every node: on one connection that stays, and on a new one each time."""

    def __init__(self, cluster: DevCluster) -> None:
        self.cluster, self.done = cluster, 0
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(n, stays))
            for n in range(cluster.size)
            for stays in (True, False)
        ]

    def _run(self, node: int, stays: bool) -> None:
        client = self.cluster.client(node)
        while not self._stop.is_set():
            try:
                client.incr("load")
            except Exception as error:
                self.errors.append(
                    f"node {node}, {'old' if stays else 'new'} connection: {error!r}"
                )
            else:
                with self._lock:
                    self.done += 1
            if not stays:
                client.close()
            time.sleep(0.01)
        client.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_new_certificates_and_a_new_authority_under_load_fail_no_command(tmp_path: Path) -> None:
    with secured(tmp_path) as (cluster, folder):
        name = "counter_certificate_reloads_total"
        with Load(cluster) as load:
            time.sleep(1)
            folder.issue()
            wait_served(cluster, folder)
            old = (folder.path / "ca.crt").read_bytes()
            for phase in ("publish", "re-issue", ""):
                assert folder.next_phase() == phase
                time.sleep(1.5)  # what was written before was read by now
                before = [metric(cluster, folder, n, name) for n in range(3)]
                folder.publish()  # whom to trust, before …
                for node in range(3):
                    wait_metric(cluster, folder, name, before[node] + 1, nodes=[node])
                if phase == "re-issue":
                    folder.issue()  # … who it is
                    wait_served(cluster, folder)
        assert load.errors == []
        assert load.done > 100
        with cluster.client(0) as client:
            assert client.get("load") == str(load.done).encode()
        assert set((folder.path / "ca.crt").read_bytes().split(b"-----BEGIN")) & set(
            old.split(b"-----BEGIN")
        ) == {b""}
        # Links made with the old authority live on; new ones are made with the new one alone.
        cluster.kill_and_wait(1)
        with cluster.client(1) as client:
            assert client.incr("load") == load.done + 1


def test_a_broken_certificate_is_reported_and_the_old_one_goes_on(tmp_path: Path) -> None:
    with secured(tmp_path, 1) as (cluster, folder):
        (folder.path / "node-0.crt").write_text("no certificate\n")
        wait_metric(cluster, folder, "counter_certificate_reload_failures_total", 1)
        with cluster.client(0) as client:
            assert client.incr("a") == 1
        folder.issue()
        wait_metric(cluster, folder, "counter_certificate_reloads_total", 1)
        assert "new certificates are not used" in cluster.logs()
