"""What an image is made from, and the plan that leads to a cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kind import apps, engine, golang, host, nodeimage, plan, settings, state
from kind.progress import in_order
from kind.store import Store


def test_a_build_context_holds_only_what_the_image_needs(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "uvloop-1-cp313-cp313-manylinux_2_28_x86_64.whl").write_text("")
    context = tmp_path / "context"
    apps.stage(context, apps.NODE, wheels)
    assert (context / "node_image/Dockerfile").exists()
    assert (context / "requirements/node.txt").exists()
    assert sorted(path.name for path in context.iterdir()) == ["client", "kind", "node_image", "requirements", "wheels"]
    assert not list(context.rglob("*.pyc"))


def test_another_base_or_lock_file_makes_another_image() -> None:
    assert apps.NODE.key("sha256:a") != apps.NODE.key("sha256:b")
    assert apps.NODE.key("sha256:a") == apps.NODE.key("sha256:a")
    assert apps.NODE.key("sha256:a") != apps.OPERATOR.key("sha256:a")


def test_old_hash_tags_go_with_what_derives_from_them_and_the_stable_ones_stay() -> None:
    keys = [f"{n:016x}" for n in range(5)]
    tags = ["dev", "dev-next", *(tag for key in keys for tag in (key, f"{key}-next"))]
    assert engine.superseded(tags, 3) == [keys[3], f"{keys[3]}-next", keys[4], f"{keys[4]}-next"]


def test_every_image_that_kubeadm_asks_for_is_named() -> None:
    names = {pair.split("=")[1] for pair in nodeimage.aliases(dict.fromkeys(("kube", "coredns", "pause", "provisioner", "busybox"), "x:1"))}
    for wanted in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "coredns/coredns", "pause"):
        assert any(name.startswith(f"registry.k8s.io/{wanted}:") for name in names)


@pytest.fixture
def without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "checked_go", lambda: "go version go1.26.8 linux/amd64")
    monkeypatch.setattr(plan, "_right_kind_on_path", lambda: True)


@pytest.mark.usefixtures("without_tools")
def test_where_images_can_be_pulled_nothing_is_built_from_source(tmp_path: Path) -> None:
    names = [step.name for step in plan.steps(plan.Ground(Store(tmp_path), pull=True, engine_is_fresh=False))]
    assert plan.KUBE not in names
    assert "cluster" in names


@pytest.mark.usefixtures("without_tools")
def test_where_not_the_node_image_waits_for_all_its_parts(tmp_path: Path) -> None:
    steps = plan.steps(plan.Ground(Store(tmp_path), pull=False, engine_is_fresh=False))
    order = [step.name for step in in_order(steps)]
    for part in (plan.KUBE, "containerd", "local-path-provisioner", plan.NODE_DEBIAN):
        assert order.index(part) < order.index(plan.NODE_IMAGE) < order.index("cluster")
    assert order[-1] == "images on the nodes"


def test_kubernetes_is_told_its_version() -> None:
    flags = golang.kube_flags()
    assert "gitVersion=v1.37.2" in flags
    assert "gitMinor=37" in flags


@pytest.mark.parametrize(("value", "pull"), [("pull", True), ("build", False)])
def test_the_environment_overrides_the_probe(monkeypatch: pytest.MonkeyPatch, value: str, pull: bool) -> None:
    monkeypatch.setenv(engine.OVERRIDE, value)
    engine.can_pull.cache_clear()
    assert engine.can_pull() is pull
    engine.can_pull.cache_clear()


def test_the_state_survives_and_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    state.update(tmp_path, pull=False, routes=("10.96.0.0/12",))
    state.update(tmp_path, cluster="k1")
    assert state.read(tmp_path) == state.State(pull=False, cluster="k1", routes=("10.96.0.0/12",))
    (tmp_path / "state.json").write_text("{half")
    assert state.read(tmp_path) == state.State()


def test_a_process_id_alone_does_not_make_a_process_ours(tmp_path: Path) -> None:
    own = engine.Engine(Store(tmp_path))
    own.folder.mkdir(parents=True)
    own.pid_file.write_text("1")
    assert own.pid() is None
    own.pid_file.write_text("nonsense")
    assert own.pid() is None


def test_shims_of_another_engine_are_not_ours(tmp_path: Path) -> None:
    for pid, line in (
        ("12", "containerd-shim-runc-v2\0-address\0/run/x/containerd/c.sock"),
        ("13", "containerd-shim-runc-v2\0-address\0/run/y/c.sock"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text(line)
    assert engine.orphaned_shims(Path("/run/x"), tmp_path) == [12]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no Debian")
def test_the_list_of_what_is_in_an_image_is_json_with_an_address_for_each_part() -> None:
    said = subprocess.run(["sh", settings.REPOSITORY / apps.SBOM, "here"], capture_output=True, text=True, check=True, timeout=60).stdout
    found = json.loads(said)
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == ("CycloneDX", "here")
    parts = {part["name"]: part for part in found["components"]}
    assert parts["libc6"]["purl"].startswith(f"pkg:deb/debian/libc6@{parts['libc6']['version'].replace('+', '%2B')}?")
    assert all(part["version"] and part["purl"].startswith("pkg:") and "+" not in part["purl"] for part in found["components"])
