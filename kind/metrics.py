"""metrics-server, for whoever wants to see autoscalers work: not part of the cluster, added by
`python3 kind/local.py metrics`."""

from __future__ import annotations

import shutil

from kind import cluster
from kind.packaging import pinned
from kind.tools import engine, golang
from kind.tools.settings import HERE, METRICS_IMAGE, METRICS_SERVER, kubeconfig
from kind.tools.shell import run
from kind.tools.store import Store

MANIFEST = HERE / "image" / "metrics-server.yaml"
PULLED = f"registry.k8s.io/metrics-server/metrics-server:{METRICS_SERVER}"


def add(store: Store, *, pull: bool) -> None:
    """Its image on every worker, and the manifest applied."""
    if not engine.has_image(METRICS_IMAGE):
        if pull:
            run("docker", "tag", pinned.pulled(store, PULLED), METRICS_IMAGE)
        else:
            _build(store)
    cluster.load(store, (METRICS_IMAGE,))
    run("kubectl", "--kubeconfig", kubeconfig(), "apply", "--server-side", "-f", MANIFEST)


def _build(store: Store) -> None:
    program = golang.installed(store, "metrics") / "metrics-server"
    with store.scratch("metrics") as context:
        shutil.copy2(program, context / "metrics-server")
        (context / "Dockerfile").write_text(
            'FROM scratch\nCOPY metrics-server /metrics-server\nENTRYPOINT ["/metrics-server"]\n'
        )
        run(
            "docker",
            "build",
            "-t",
            METRICS_IMAGE,
            context,
            log=store.log("image-metrics"),
            env=engine.builder_env(),
        )
