"""The cluster's effective configuration, its health in words, and which images a node holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kind.cluster import Traits, complaints_of, effective_config, held_images, node_names

CONFIG = (Path(__file__).resolve().parents[3] / "kind-config.yaml").read_text()


def kubelet_patch(config: str) -> dict[str, Any]:
    patches = yaml.safe_load(config).get("kubeadmConfigPatches", [])
    return next(
        (
            loaded
            for p in patches
            if (loaded := yaml.safe_load(p))["kind"] == "KubeletConfiguration"
        ),
        {},
    )


def test_on_a_machine_that_needs_nothing_the_configuration_stays_as_it_is() -> None:
    assert effective_config(CONFIG, Traits(own_node_image=False, cgroup_v1=False)) == CONFIG


def test_our_own_node_image_runs_without_systemd() -> None:
    patch = kubelet_patch(effective_config(CONFIG, Traits(own_node_image=True, cgroup_v1=False)))
    assert patch["cgroupDriver"] == "cgroupfs"
    assert patch["resolvConf"] == "/kind/resolv.conf"
    assert "failCgroupV1" not in patch


def test_what_there_is_one_of_elects_nobody_on_a_busy_machine() -> None:
    text = effective_config(CONFIG, Traits(own_node_image=True, cgroup_v1=False))
    patches = [yaml.safe_load(patch) for patch in yaml.safe_load(text)["kubeadmConfigPatches"]]
    found = next(patch for patch in patches if patch["kind"] == "ClusterConfiguration")
    for part in ("controllerManager", "scheduler"):
        assert {"name": "leader-elect", "value": "false"} in found[part]["extraArgs"]


def test_control_groups_of_version_1_are_allowed_where_the_host_has_them() -> None:
    patch = kubelet_patch(effective_config(CONFIG, Traits(own_node_image=False, cgroup_v1=True)))
    assert patch["failCgroupV1"] is False
    assert "cgroupDriver" not in patch


def test_patches_that_the_file_has_already_are_kept() -> None:
    text = (
        CONFIG + "kubeadmConfigPatches:\n- |\n  kind: ClusterConfiguration\n  clusterName: other\n"
    )
    loaded = yaml.safe_load(effective_config(text, Traits(own_node_image=True, cgroup_v1=True)))
    kinds = [yaml.safe_load(patch)["kind"] for patch in loaded["kubeadmConfigPatches"]]
    assert kinds == ["KubeletConfiguration", "ClusterConfiguration", "ClusterConfiguration"]


@pytest.mark.parametrize("own", [True, False])
def test_the_nodes_are_one_control_plane_and_three_workers(own: bool) -> None:
    names = node_names(effective_config(CONFIG, Traits(own_node_image=own, cgroup_v1=own)))
    assert names == [
        "countercluster-control-plane",
        "countercluster-worker",
        "countercluster-worker2",
        "countercluster-worker3",
    ]


def thing(name: str, ready: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_a_healthy_cluster_has_no_complaints() -> None:
    assert complaints_of([thing("worker", "True")], [thing("coredns", "True")]) == []


def test_complaints_name_what_is_not_ready() -> None:
    said = complaints_of(
        [thing("worker", "Unknown"), thing("worker2", "True")], [thing("coredns", "False")]
    )
    assert said == ["node worker is not ready", "pod coredns is not ready"]
    assert complaints_of([], []) == ["there are no system pods"]


def test_the_image_ids_on_a_node_are_read_from_its_labels() -> None:
    listing = (
        "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
        "docker.io/countercluster/node:dev application/x sha256:aa 120.0 MiB linux/amd64 "
        "io.countercluster/image-id=sha256:bb,io.cri-containerd.image=managed\n"
        "registry.k8s.io/pause:3.10.2 application/x sha256:cc 0.8 MiB linux/amd64 "
        "io.cri-containerd.image=managed\n"
    )
    assert held_images(listing) == {"docker.io/countercluster/node:dev": "sha256:bb"}
