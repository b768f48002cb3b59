"""An operator for one namespace, installed as docs/operating/install.md says, with nothing
cluster-wide but the definition of the resource."""

from __future__ import annotations

from pathlib import Path

from tests.apiserver.world import CONTROLLERS, ROOT, World
from tests.support.apiserver import ApiServer
from tests.support.kubelet import Machine
from tests.support.operators import Operator


def test_it_looks_after_its_namespace_and_never_asks_for_more(tmp_path: Path) -> None:
    with (
        ApiServer(tmp_path / "apiserver", CONTROLLERS) as server,
        Machine(server.kubeconfig, tmp_path / "machine") as machine,
    ):
        server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / "countercluster.yaml"))
        server.kubectl(
            "wait",
            "--for=condition=Established",
            "crd/counterclusters.countercluster.io",
            "--timeout=30s",
        )
        for namespace in ("team-a", "team-b"):
            server.namespace(namespace)
        manifests = (
            (ROOT / "manifests" / "install-namespaced.yaml")
            .read_text()
            .replace("my-namespace", "team-a")
        )
        server.kubectl("apply", "--server-side", "-f", "-", text=manifests)
        here = World(server, machine, tmp_path, ())
        kubeconfig = server.write_kubeconfig(
            tmp_path / "operator", server.token("team-a", "countercluster-operator")
        )
        with Operator(
            kubeconfig, tmp_path, "operator-0", POD_NAMESPACE="team-a", WATCH_NAMESPACES="team-a"
        ) as operator:
            here.cluster("team-b", "clicks", replicas=1)
            here.cluster("team-a", "clicks", replicas=1)
            here.wait_ready("team-a", "clicks")
            assert here.children("team-b") == {}
            asked = [
                r for r in server.requests() if r.user == "countercluster-operator" and r.resource
            ]
            beyond = (
                "nodes",
                "persistentvolumes",
            )  # asked for when a member is silent, and done without
            assert not [
                r for r in asked if (r.status == 401 or r.forbidden) and r.resource not in beyond
            ]
            assert {"counterclusters", "leases", "pods"} <= {r.resource for r in asked}
            assert not [
                line
                for line in operator.lines()
                if line["level"] in ("error", "critical") or "exception" in line
            ]
