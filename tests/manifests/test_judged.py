"""kubeconform, kube-score and a real API server judge everything in manifests/ and everything that
the operator makes (its golden files)."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import schemas
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
PROMETHEUS_OPERATOR = ROOT / "tests" / "support" / "prometheus_operator.yaml"
OURS = [
    MANIFESTS / "install.yaml",
    MANIFESTS / "install-namespaced.yaml",
    MANIFESTS / "install-namespaced-machines.yaml",
    ROOT / "crds" / "countercluster.yaml",
    *sorted((MANIFESTS / "samples").glob("*.yaml")),
]
MADE = sorted((ROOT / "tests" / "unit" / "operator" / "golden").glob("*.yaml"))

NODES, CACHES, OPERATOR = "StatefulSet", "Deployment *-cache", "Deployment countercluster-operator"

# What kube-score says and we do not follow: (check, object) with the reason. One that does not come
# up any more fails the test.
EXPLAINED: dict[tuple[str, str], str] = {}
EXPLAINED |= {
    # A limit of CPU stops a process for the rest of each 100 ms: a leader that is stopped is taken
    # for dead, and Redis and the operator are merely slow. Requests share the CPU fairly without
    # that. Memory is limited everywhere.
    ("container-resources", who): "CPU limits throttle"
    for who in (NODES, CACHES, OPERATOR)
}
EXPLAINED |= {
    # A member must come back while the registry cannot be reached. Tags are never used twice (the
    # tag `dev` is for the local cluster, whose images come from no registry); spec.imagePullPolicy:
    # Always is there for those who do otherwise.
    ("container-image-pull-policy", who): "restarts must not need the registry"
    for who in (NODES, CACHES, OPERATOR)
}
EXPLAINED |= {
    # Who is limited is evicted when its log grows, which the kubelet bounds anyway; and a member
    # must not be evicted for that. Nodes write to their volume only; Redis writes nothing; the
    # emptyDirs have limits of their own. spec.resources may say otherwise for the nodes.
    ("container-ephemeral-storage-request-and-limit", who): "nothing is written but the log"
    for who in (NODES, CACHES)
}
EXPLAINED |= {
    # The pods carry no token and nothing that leads elsewhere. A policy for what leaves them
    # would have to name the cluster's DNS and, for the operator, the API server, which have other
    # labels and addresses in every Kubernetes: a wrong guess takes the service down.
    ("pod-networkpolicy", who): "egress cannot be named for every Kubernetes"
    for who in (NODES, OPERATOR)
}
EXPLAINED |= {
    # Redis either takes connections or it does not; the second probe asks five times more rarely,
    # and only it restarts.
    ("pod-probes-identical", CACHES): "the same question at another pace",
    # It is a cache: when it is gone it is filled again, and counting goes on meanwhile.
    ("deployment-replicas", CACHES): "a cache may be lost",
    ("deployment-has-poddisruptionbudget", CACHES): "a cache may be lost",
}


def who(found: dict[str, Any]) -> str:
    kind, name = found["type_meta"]["kind"], found["object_meta"]["name"]
    if kind == "StatefulSet":
        return NODES
    return CACHES if name.endswith("-cache") else f"{kind} {name}"


def judged(checks: Path, files: list[Path], folder: Path) -> dict[tuple[str, str], list[str]]:
    """Findings of kube-score, by check and object."""
    together = folder / "all.yaml"
    together.write_text("\n---\n".join(path.read_text() for path in files))
    command = [
        str(checks / "kube-score"),
        "score",
        "--output-format",
        "json",
        "--output-version",
        "v2",
        str(together),
    ]
    verdicts = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    )
    found: dict[tuple[str, str], list[str]] = {}
    for item in verdicts:
        for check in item["checks"] or []:
            if check["grade"] < 10 and not check["skipped"]:
                words = [f"{c['path']}: {c['summary']}" for c in check["comments"] or []]
                found.setdefault((check["check"]["id"], who(item)), []).extend(
                    words or [check["check"]["name"]]
                )
    assert len(verdicts) > 10, verdicts
    return found


def test_kube_score_finds_nothing_that_is_not_explained(checks: Path, tmp_path: Path) -> None:
    found = judged(checks, [MANIFESTS / "install.yaml", *MADE], tmp_path)
    new = {what: words for what, words in found.items() if what not in EXPLAINED}
    assert not new, f"mend it, or explain it in EXPLAINED: {new}"
    assert set(EXPLAINED) <= set(found), (
        f"nothing needs these any more: {set(EXPLAINED) - set(found)}"
    )


def test_kube_score_would_find_a_pod_that_may_do_everything(checks: Path, tmp_path: Path) -> None:
    stateful_set = next(
        yaml.safe_load(path.read_text()) for path in MADE if ".statefulset." in path.name
    )
    stateful_set["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {
        "privileged": True
    }
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(stateful_set))
    found = judged(checks, [*MADE, bad], tmp_path)
    assert ("container-security-context-privileged", NODES) in found


@pytest.fixture(scope="module")
def location(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Once the API server publishes the custom resources."""
    server.install(PROMETHEUS_OPERATOR)
    folder = tmp_path_factory.mktemp("schemas")
    published = (
        "countercluster-countercluster-v1alpha1",
        "podmonitor-monitoring-v1",
        "prometheusrule-monitoring-v1",
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pattern = schemas.write(server.get("/openapi/v2"), folder)
        if all((folder / f"{stem}.json").exists() for stem in published):
            return pattern
        time.sleep(0.5)
    raise AssertionError("the custom resources are not in the OpenAPI document")


def conform(checks: Path, location: str, *files: Path) -> list[dict[str, Any]]:
    """What kubeconform says of each document: its name, kind, status and message."""
    command = [
        str(checks / "kubeconform"),
        "-strict",
        "-verbose",
        "-output",
        "json",
        "-schema-location",
        location,
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found: list[dict[str, Any]] = json.loads(done.stdout)["resources"]
    return found


def test_kubeconform_takes_every_document(checks: Path, location: str) -> None:
    found = conform(checks, location, *OURS, *MADE)
    wrong = [f for f in found if f["status"] != "statusValid"]
    assert not wrong, json.dumps(wrong, indent=1)[:4000]
    assert len(found) == documents(*OURS, *MADE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), "three"),
        (("spec", "replica"), 3),
        (("spec", "template", "spec", "containers", 0, "imagePullPolicys"), "Always"),
        (("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), "6379"),
    ],
)
def test_kubeconform_would_find_a_wrong_field(
    checks: Path, location: str, tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    stateful_set = next(
        yaml.safe_load(path.read_text()) for path in MADE if ".statefulset." in path.name
    )
    part = stateful_set
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(stateful_set))
    (found,) = conform(checks, location, bad)
    assert found["status"] == "statusInvalid", found


# The certificates of the golden files are the words "a certificate".
NO_PEM = [path for path in MADE if path.stem.endswith("-nodes")]
DRY = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")


def documents(*paths: Path) -> int:
    return sum(1 for path in paths for document in yaml.safe_load_all(path.read_text()) if document)


@pytest.mark.parametrize(
    "paths",
    [*([path] for path in OURS), [p for p in MADE if p not in NO_PEM]],
    ids=lambda paths: paths[0].stem,
)
def test_the_api_server_takes_it_without_a_warning(server: ApiServer, paths: list[Path]) -> None:
    """As a user gives it: kubectl --dry-run=server. The namespaces of the texts are there."""
    server.install(PROMETHEUS_OPERATOR)
    server.namespace("shop")
    server.namespace("my-namespace")
    files = [word for path in paths for word in ("-f", str(path))]
    assert server.kubectl(*DRY, "--warnings-as-errors", *files).count(
        "(server dry run)"
    ) == documents(*paths)


def test_the_api_server_takes_the_secrets_of_the_nodes(server: ApiServer) -> None:
    server.namespace("shop")
    assert len(NO_PEM) == 2
    assert (
        server.kubectl(*DRY, *(word for path in NO_PEM for word in ("-f", str(path)))).count(
            "(server dry run)"
        )
        == 2
    )


def test_the_api_server_takes_what_kustomize_makes(server: ApiServer) -> None:
    """kustomization.yaml is no API object, hence not kubeconform's."""
    assert MANIFESTS.joinpath("kustomization.yaml").exists()
    built = server.kubectl("kustomize", str(MANIFESTS), "--load-restrictor=LoadRestrictionsNone")
    assert server.kubectl(*DRY, "-f", "-", text=built).count("(server dry run)") == documents(
        MANIFESTS / "install.yaml"
    )
