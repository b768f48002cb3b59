"""What an image is made from, and the plan that leads to a cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kind import nodeimage, plan, state
from kind.packaging import apps, pinned
from kind.tools import debian, engine, golang, host, settings
from kind.tools.progress import in_order
from kind.tools.store import Store


def test_a_build_context_holds_only_what_the_image_needs(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in apps.NODE.locks}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / f"{name}-1-cp313-cp313-manylinux_2_28_x86_64.whl").write_text("")
    context = tmp_path / "context"
    apps.stage(context, apps.NODE, folders)
    for needed in (
        "node_image/Dockerfile",
        "node_image/compile.py",
        "requirements/node.txt",
        "requirements/compile.txt",
    ):
        assert (context / needed).exists()
    assert sorted(path.name for path in context.iterdir()) == [
        "client",
        "compile-wheels",
        "kind",
        "node_image",
        "requirements",
        "wheels",
    ]
    for name in folders:
        assert [path.name for path in (context / name).iterdir()] == [
            f"{name}-1-cp313-cp313-manylinux_2_28_x86_64.whl"
        ]
    assert {path.suffix for path in (context / "node_image").rglob("*") if path.is_file()} <= {
        ".py",
        ".pyx",
        "",
    }


def test_every_file_that_the_dockerfiles_copy_is_in_their_context(tmp_path: Path) -> None:
    for recipe in apps.RECIPES:
        context = tmp_path / recipe.name
        apps.stage(context, recipe, {})
        text = (context / recipe.dockerfile).read_text()
        for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE):
            assert (context / source).exists(), f"{recipe.dockerfile} copies {source}"
        assert set(recipe.pulled) == set(re.findall(r"^FROM \$\{(\w+)\}", text, re.MULTILINE))
        for argument, image in recipe.pulled.items():
            assert f"ARG {argument}={image}\n" in text
        assert set(recipe.locks) == {
            name.removesuffix("*") for name in re.findall(r"\S*wheels\*", text)
        }


def test_another_base_builder_or_lock_file_makes_another_image() -> None:
    assert apps.NODE.key("sha256:a") != apps.NODE.key("sha256:b")
    assert apps.NODE.key("sha256:a") == apps.NODE.key("sha256:a")
    assert apps.NODE.key("sha256:a") != apps.OPERATOR.key("sha256:a")
    assert apps.NODE.key("sha256:a", "sha256:b") != apps.NODE.key("sha256:a", "sha256:c")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the node's image is made from, to be changed."""
    copy = tmp_path / "repository"
    apps.stage(copy, apps.NODE, {})
    monkeypatch.setattr(apps, "REPOSITORY", copy)
    return copy


@pytest.mark.parametrize(
    "changed",
    ["node_image/counter_node/fast/lane.pyx", "node_image/compile.py", "requirements/compile.txt"],
)
def test_what_is_compiled_and_what_compiles_it_is_in_the_key(
    repository: Path, changed: str
) -> None:
    before = apps.NODE.key("sha256:a", "sha256:b")
    with (repository / changed).open("a") as file:
        file.write("# changed\n")
    assert apps.NODE.key("sha256:a", "sha256:b") != before


def test_what_this_machine_compiled_is_neither_in_the_key_nor_in_the_context(
    repository: Path, tmp_path: Path
) -> None:
    before = apps.NODE.key("sha256:a", "sha256:b")
    for name in ("lane.cpython-311-x86_64-linux-gnu.so", "lane.c"):
        (repository / "node_image/counter_node/fast" / name).write_text("")
    assert apps.NODE.key("sha256:a", "sha256:b") == before
    apps.stage(tmp_path / "context", apps.NODE, {})
    assert not [*(tmp_path / "context").rglob("*.so"), *(tmp_path / "context").rglob("*.c")]


@pytest.mark.parametrize("pull", [True, False])
def test_an_image_starts_from_what_is_pulled_or_from_debians_that_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pull: bool
) -> None:
    monkeypatch.setattr(engine, "has_image", lambda _: False)
    monkeypatch.setattr(
        pinned,
        "run",
        lambda *words, **_: (
            pulled.append(words[2]) if words[1] == "pull" else json.dumps([{"RepoDigests": []}])
        ),
    )
    monkeypatch.setattr(debian.Debian, "image", lambda debian, _: debian.name)
    pulled: list[str] = []
    found = apps.bases(Store(tmp_path), apps.NODE, pull)
    assert found == (
        apps.NODE.pulled if pull else {"BASE": "debian-base", "BUILDER": "debian-builder"}
    )
    assert pulled == (list(apps.NODE.pulled.values()) if pull else [])


def test_what_compiles_has_the_python_of_the_base_and_is_no_part_of_it() -> None:
    assert debian.BUILDER.suite == debian.BASE.suite
    assert "gcc" in debian.BUILDER.packages
    assert "gcc" not in debian.BASE.packages
    assert f"{settings.PULLED_BUILDER}-slim" == settings.PULLED_PYTHON


def test_old_hash_tags_go_with_what_derives_from_them_and_the_stable_ones_stay() -> None:
    keys = [f"{n:016x}" for n in range(5)]
    tags = ["dev", "dev-next", *(tag for key in keys for tag in (key, f"{key}-next"))]
    assert engine.superseded(tags, 3) == [keys[3], f"{keys[3]}-next", keys[4], f"{keys[4]}-next"]


def test_every_image_that_kubeadm_asks_for_is_named() -> None:
    names = {
        pair.split("=")[1]
        for pair in nodeimage.aliases(
            dict.fromkeys(("kube", "coredns", "pause", "provisioner", "busybox"), "x:1")
        )
    }
    for wanted in (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "etcd",
        "coredns/coredns",
        "pause",
    ):
        assert any(name.startswith(f"registry.k8s.io/{wanted}:") for name in names)


@pytest.fixture
def without_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "checked_go", lambda: "go version go1.26.8 linux/amd64")
    monkeypatch.setattr(plan, "_right_kind_on_path", lambda: True)


@pytest.mark.usefixtures("without_tools")
def test_where_images_can_be_pulled_nothing_is_built_from_source(tmp_path: Path) -> None:
    names = [
        step.name
        for step in plan.steps(plan.Ground(Store(tmp_path), pull=True, engine_is_fresh=False))
    ]
    assert plan.KUBE not in names
    assert plan.BUILDER_DEBIAN not in names
    assert "cluster" in names


@pytest.mark.usefixtures("without_tools")
def test_where_not_the_node_image_waits_for_all_its_parts(tmp_path: Path) -> None:
    steps = plan.steps(plan.Ground(Store(tmp_path), pull=False, engine_is_fresh=False))
    order = [step.name for step in in_order(steps)]
    for part in (plan.KUBE, "containerd", "local-path-provisioner", plan.NODE_DEBIAN):
        assert order.index(part) < order.index(plan.NODE_IMAGE) < order.index("cluster")
    assert order[-1] == "images on the nodes"


@pytest.mark.usefixtures("without_tools")
@pytest.mark.parametrize("pull", [True, False])
def test_the_projects_images_wait_for_what_they_are_made_of_and_the_cluster_does_not(
    tmp_path: Path, pull: bool
) -> None:
    steps = {
        step.name: step
        for step in plan.steps(plan.Ground(Store(tmp_path), pull=pull, engine_is_fresh=False))
    }
    wheels = {f"wheels of requirements/{name}.txt" for name in ("node", "compile", "operator")}
    made = set() if pull else {plan.BASE_DEBIAN, plan.BUILDER_DEBIAN}
    assert set(steps[plan.IMAGES].needs) == wheels | made
    assert not {*wheels, *made} & set(steps["cluster"].needs)


def test_kubernetes_is_built_with_its_version() -> None:
    flags = golang.kube_flags()
    assert "gitVersion=v1.37.2" in flags
    assert "gitMinor=37" in flags


@pytest.mark.parametrize(("value", "pull"), [("pull", True), ("build", False)])
def test_the_environment_overrides_the_probe(
    monkeypatch: pytest.MonkeyPatch, value: str, pull: bool
) -> None:
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
    said = subprocess.run(
        ["sh", settings.REPOSITORY / apps.SBOM, "here"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    found = json.loads(said)
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == ("CycloneDX", "here")
    parts = {part["name"]: part for part in found["components"]}
    assert parts["libc6"]["purl"].startswith(
        f"pkg:deb/debian/libc6@{parts['libc6']['version'].replace('+', '%2B')}?"
    )
    assert all(
        part["version"] and part["purl"].startswith("pkg:") and "+" not in part["purl"]
        for part in found["components"]
    )


def test_what_is_stripped_keeps_the_named_programs_and_nothing_that_helps_a_thief(
    tmp_path: Path,
) -> None:
    for name in ("usr/bin/sh", "usr/bin/python3.13", "usr/bin/apt-get", "usr/bin/perl",
    "usr/sbin/su", "usr/local/bin/tool", "usr/lib/libc.so.6",
                 "usr/lib/perl5/x.pm", "usr/share/perl/y.pm", "var/lib/dpkg/status",
                 "var/lib/dpkg/info/a.list",
                 "usr/share/bash-completion/completions/apt", "opt/venv/bin/python3"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "usr/lib/helper").write_text("")
    (tmp_path / "usr/lib/helper").chmod(0o4755)
    (tmp_path / "usr/bin/python3").symlink_to("python3.13")
    (tmp_path / "bin").symlink_to("usr/bin")
    strip = apps.REPOSITORY / apps.STRIP
    subprocess.run(
        ["sh", strip, str(tmp_path), "python", "python3*"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir())
    kept = [
        "opt/venv/bin/python3",
        "usr/bin/python3",
        "usr/bin/python3.13",
        "usr/lib/helper",
        "usr/lib/libc.so.6",
        "var/lib/dpkg/status",
    ]
    assert left == kept
    assert not (tmp_path / "usr/lib/helper").stat().st_mode & 0o6000


@pytest.mark.parametrize("root", ["", "/"])
def test_the_root_of_a_machine_is_never_stripped(root: str) -> None:
    if Path("/sbom.cdx.json").exists():
        pytest.skip("this is an image's root")
    done = subprocess.run(
        ["sh", apps.REPOSITORY / apps.STRIP, root],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
