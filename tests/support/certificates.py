"""A folder of certificates as a mounted Secret has it, for nodes on loopback; what the operator
issues, by its own code."""

from __future__ import annotations

import base64
import datetime
import os
from pathlib import Path
from typing import Any

from countercluster_operator.credentials.certificates import Authority, Names, Pair, advance, leaf
from countercluster_operator.credentials.fitness import wanted_hosts, wanted_uris
from countercluster_operator.model import Cluster, Spec, Tls

CLUSTER = "devcluster"
"""The cluster id of a devcluster."""


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def secret_of(
    authority: Pair, namespace: str, name: str, usages: str, replicas: int = 3
) -> dict[str, Any]:
    """The Secret `name` for CounterCluster `usages`, signed by an authority of somebody else."""
    cluster = Cluster(
        usages, namespace, "", 1, Spec(replicas=replicas, tls=Tls(secret_name=name)), "", ""
    )
    pair = leaf(
        authority, Names("c", tuple(wanted_hosts(cluster)), (), tuple(wanted_uris(cluster))), now()
    )
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
    data = {key: base64.b64encode(value).decode() for key, value in files.items()}
    meta = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": meta,
        "data": data,
    }


class Folder:
    def __init__(
        self,
        path: Path,
        nodes: int,
        cluster: str = CLUSTER,
        hosts: tuple[str, ...] = ("localhost",),
    ) -> None:
        self.path, self.nodes, self.cluster, self.hosts = path, nodes, cluster, hosts
        self.authority: Authority = advance(None, cluster, now())
        path.mkdir(parents=True, exist_ok=True)
        self.issue()

    def names(self, who: str) -> Names:
        return Names(who, self.hosts, ("127.0.0.1",), (f"countercluster://{self.cluster}/{who}",))

    def issue(self) -> None:
        """New leaves for everybody, of whoever signs now."""
        for n in range(self.nodes):
            self.write(
                f"node-{n}", leaf(self.authority.signing, self.names(f"node/node-{n}"), now())
            )
        self.write("operator", leaf(self.authority.signing, self.names("client/operator"), now()))
        self.publish()

    def publish(self) -> None:
        self._put("ca.crt", self.authority.bundle)

    def next_phase(self) -> str:
        """The authority's change, one phase further, without its waiting times."""
        self.authority = advance(
            self.authority, self.cluster, now(), rotate=True, spread=datetime.timedelta(0)
        )
        return self.authority.phase

    def write(self, stem: str, pair: Pair) -> None:
        self._put(f"{stem}.key", pair.key)
        self._put(f"{stem}.crt", pair.certificate)

    def _put(self, name: str, content: bytes) -> None:
        fresh = self.path / f".{name}"
        fresh.write_bytes(content)
        os.replace(fresh, self.path / name)

    @property
    def client(self) -> dict[str, str | bool]:
        """Options of redis-py for the clients' port."""
        return {"ssl": True, "ssl_ca_certs": str(self.path / "ca.crt")}

    @property
    def operator(self) -> dict[str, str | bool]:
        """Options of redis-py for the admin port."""
        return {
            **self.client,
            "ssl_certfile": str(self.path / "operator.crt"),
            "ssl_keyfile": str(self.path / "operator.key"),
        }

    @property
    def environment(self) -> dict[str, str]:
        return {"COUNTER_TLS_DIR": str(self.path)}
