"""A Kubernetes without machines but one: API server, the controllers a CounterCluster needs, pods
that are real nodes, operators as processes."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.api_requests import Request
from tests.support.apiserver import ApiServer
from tests.support.kubelet import Machine
from tests.support.operators import Operator

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "countercluster-system"
CONTROLLERS = (
    "statefulset",
    "garbagecollector",
    "persistentvolumeclaim-protection-controller",
    "namespace",
    "disruption",
)
API = "countercluster.io/v1alpha1"

Object = dict[str, Any]
PLAIN: Object = {
    "tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"},
    "auth": {"enabled": False},
}


class World:
    """`names`: of the operators that there may be, each with a ServiceAccount of its own and the
    rights of the installed one."""

    def __init__(
        self,
        server: ApiServer,
        machine: Machine | None,
        folder: Path,
        names: tuple[str, ...] = ("operator-0", "operator-1"),
    ) -> None:
        self.server, self.machine, self.folder = server, machine, folder
        self._kubeconfigs = {name: self._account(name) for name in names}

    def _account(self, name: str) -> Path:
        meta = {"name": name, "namespace": SYSTEM}
        subject = {"kind": "ServiceAccount", **meta}
        group = "rbac.authorization.k8s.io"
        role = {"apiGroup": group, "kind": "ClusterRole", "name": "countercluster-operator"}
        machines = {**role, "name": "countercluster-operator-machines"}
        lease = {"apiGroup": group, "kind": "Role", "name": "countercluster-operator-lease"}
        for manifest in (
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": role,
                "subjects": [subject],
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"{name}-machines"},
                "roleRef": machines,
                "subjects": [subject],
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": lease,
                "subjects": [subject],
            },
        ):
            self.server.apply(manifest).ok()
        return self.server.write_kubeconfig(self.folder / name, self.server.token(SYSTEM, name))

    def operator(self, name: str = "operator-0", **environment: str) -> Operator:
        return Operator(self._kubeconfigs[name], self.folder, name, **environment)

    def cluster(self, namespace: str, name: str, /, **spec: Any) -> None:
        """Without a cache, as nobody runs Redis here, and in plain text by default."""
        spec = {
            "cache": {"enabled": False},
            "resources": {},
            "settings": {"tickMs": 50},
            **PLAIN,
            **spec,
        }
        meta = {"name": name, "namespace": namespace}
        self.server.apply(
            {"apiVersion": API, "kind": "CounterCluster", "metadata": meta, "spec": spec}
        ).ok()

    def path(self, namespace: str, name: str) -> str:
        return f"/apis/{API}/namespaces/{namespace}/counterclusters/{name}"

    def get(self, namespace: str, name: str) -> Object:
        return self.server.get(self.path(namespace, name))

    def edit(self, namespace: str, name: str, /, **spec: Any) -> None:
        self.server.merge(self.path(namespace, name), {"spec": spec}).ok()

    def condition(self, namespace: str, name: str, kind: str = "Ready") -> Object:
        """Empty while there is none for the current spec."""
        found = self.get(namespace, name)
        conditions = {c["type"]: c for c in found.get("status", {}).get("conditions", [])}
        condition: Object = conditions.get(kind, {})
        return (
            condition
            if condition.get("observedGeneration") == found["metadata"]["generation"]
            else {}
        )

    def wait_ready(self, namespace: str, name: str, timeout_s: float = 150) -> None:
        self.wait(
            f"{namespace}/{name} is ready",
            lambda: self.condition(namespace, name).get("status") == "True",
            timeout_s,
        )

    def _machine_tail(self) -> str:
        return "" if self.machine is None else self.machine.tail()

    def wait(self, what: str, is_so: Callable[[], bool], timeout_s: float = 150) -> None:
        end = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < end, f"not within {timeout_s:.0f} s: {what}\n{self.state()}"
            assert self.machine is None or self.machine.running, (
                f"the machine ended while this was waited for: {what}\n{self._machine_tail()}"
            )
            time.sleep(0.1)

    @contextlib.contextmanager
    def space(self, name: str) -> Iterator[str]:
        """A namespace of a test's own. When this ends nothing of it is left, and no node of it
        runs: clusters that nobody looks at any more take the machine from those of the next
        test."""
        yield self.server.namespace(name)
        path = f"/api/v1/namespaces/{name}"
        ips = [
            pod["status"]["podIP"]
            for pod in self.server.get(f"{path}/pods")["items"]
            if "podIP" in pod.get("status", {})
        ]
        self.server.request("DELETE", path).ok()
        self.wait(f"{name} is gone", lambda: self.server.request("GET", path).status == 404)
        self.wait(f"the nodes of {name} have ended", lambda: not any(_serves(ip) for ip in ips))

    def state(self) -> str:
        """For a failing test."""
        lines = [self.server.kubectl("get", "cc,sts,pods,pvc", "-A", "-o", "wide")]
        lines += [
            f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:])
            for log in sorted(self.folder.glob("operator-*.log"))
        ]
        lines += ["--- machine", self._machine_tail()]
        return "\n".join(lines)

    def children(self, namespace: str) -> dict[tuple[str, str], Object]:
        """What belongs to CounterClusters there, without what differs from run to run."""
        found = {}
        for path in (
            "/api/v1/namespaces/{}/services", "/api/v1/namespaces/{}/secrets",
            "/api/v1/namespaces/{}/serviceaccounts",
            "/apis/apps/v1/namespaces/{}/statefulsets",
            "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
            "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
            "/api/v1/namespaces/{}/pods", "/api/v1/namespaces/{}/persistentvolumeclaims",
        ):  # fmt: skip
            listed = self.server.get(path.format(namespace))
            for item in listed["items"]:
                if "app.kubernetes.io/instance" in item["metadata"].get("labels", {}):
                    found[listed["kind"].removesuffix("List"), item["metadata"]["name"]] = _lasting(
                        item
                    )
        return found

    def members(self, namespace: str, name: str) -> list[Object]:
        """As the leader has them."""
        answer = self.ask(
            namespace, f"{self.get(namespace, name)['status']['leader']}", "RAFT.STATUS"
        )
        found: list[Object] = json.loads(answer)["members"]
        return found

    def ask(self, namespace: str, pod: str, *command: str | int, port: int = 7001) -> Any:
        ip = self.server.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["status"]["podIP"]
        with redis.Redis(
            host=ip, port=port, retry=Retry(NoBackoff(), 0), socket_timeout=15
        ) as client:
            return client.execute_command(*command)

    def writes(self, since: int = 0) -> list[Request]:
        """Every write of an operator but those of the Lease, by its account."""
        return [
            r
            for r in self.server.requests()[since:]
            if r.writes and r.resource != "leases" and r.user.startswith("operator-")
        ]


def _serves(ip: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((ip, 8080), timeout=5):
        return True
    return False


def _lasting(item: Object) -> Object:
    meta = item["metadata"]
    kept = {
        "labels": dict(meta["labels"]),
        "owners": sorted(o["kind"] for o in meta.get("ownerReferences", [])),
    }
    kept["labels"].pop("controller-revision-hash", None)
    if "containers" in item.get("spec", {}):
        return kept
    content = {
        k: v for k, v in item.items() if k not in ("metadata", "status", "kind", "apiVersion")
    }
    if isinstance(content.get("data"), dict):
        content["data"] = {k: base64.b64decode(v).decode() for k, v in content["data"].items()}
    for assigned in ("clusterIP", "clusterIPs"):
        if content.get("spec", {}).get(assigned) not in (None, "None", ["None"]):
            content["spec"].pop(assigned)
    return {**kept, **content}


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    with (
        ApiServer(folder / "apiserver", CONTROLLERS) as server,
        Machine(server.kubeconfig, folder / "machine") as machine,
    ):
        server.install(ROOT / "manifests" / "install.yaml")
        yield World(server, machine, folder)
