"""A stranger installs a release on a fresh cluster, from a registry that wants a password, with
nothing but the folder: the sample is formed, counts through the loss of its leader, and then goes
on with the images of another path."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kind.release.registry import Registry as Crane
from tests.release.conftest import VERSION, Made, release
from tests.release.stranger import Stranger
from tests.support.registry import PASSWORD, USER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

LOAD = """
apiVersion: v1
kind: Pod
metadata: {{name: load}}
spec:
  restartPolicy: Never
  imagePullSecrets: [{{name: registry}}]
  volumes: [{{name: binding, secret: {{secretName: clicks-client}}}}]
  containers:
  - name: load
    image: {image}
    command: [python3, -m, countercluster.load]
    args: [--binding, /binding, --key, sample, --rate, "100", --count, "3000", --json]
    volumeMounts: [{{name: binding, mountPath: /binding, readOnly: true}}]
"""


@pytest.fixture(scope="module")
def stranger(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """A copy of the folder, far from this repository."""
    folder = Path(shutil.copytree(made.folder, tmp_path_factory.mktemp("stranger") / "release"))
    stranger = Stranger(folder, made)
    stranger.up()
    yield stranger
    stranger.down()


def count(stranger: Stranger) -> None:
    """The books of a load that runs while the leader is lost."""
    node = next(i for i in (stranger.folder / "images.txt").read_text().split() if "/node@" in i)
    (stranger.folder.parent / "load.yaml").write_text(LOAD.format(image=node))
    stranger(f"kubectl apply -f {stranger.folder.parent / 'load.yaml'}")
    stranger.wait(
        "the load to count",
        120,
        lambda: "acknowledged" in stranger("kubectl logs load", check=False),
    )
    leader = stranger("kubectl get cc clicks -o jsonpath={.status.leader}").strip()
    stranger(f"kubectl delete pod {leader} --grace-period=0 --force")
    stranger("kubectl wait --for=jsonpath={.status.phase}=Succeeded pod/load --timeout=200s")
    books = json.loads(stranger("kubectl logs load").strip().splitlines()[-1])
    assert (books["acknowledged"], books["final"]) == (3000, 3000)
    assert not any(books[fault] for fault in ("lost", "doubled", "unknown", "errors"))


def plugin(stranger: Stranger) -> str:
    """The folder of a fresh environment's programs, with both wheels in it."""
    home = stranger.folder.parent / "venv"
    stranger(f"{sys.executable} -m venv {home}")
    client, of_plugin, _ = stranger.page("The client and the plugin")
    pip = f"{home}/bin/pip --quiet --disable-pip-version-check"
    stranger(client.replace("pip ", f"{pip} ", 1))
    wheel = of_plugin.split()[2]
    stranger(f"{pip} install --find-links . {wheel}")
    return f"{home}/bin"


def install(stranger: Stranger) -> None:
    """By the page alone."""
    stranger(stranger.page("Check the files")[0])
    for command in stranger.page("A registry with a password", USER=USER, PASSWORD=PASSWORD):
        stranger(command)
    for command in stranger.page("Install"):
        stranger(command)


def in_one_namespace(stranger: Stranger) -> None:
    """Beside an operator for all namespaces it must not run, so it is only asked for."""
    stranger("kubectl create namespace team-a")
    for command in stranger.page("In one namespace only"):
        stranger(command.replace("apply --server-side", "apply --server-side --dry-run=server"))


def move(stranger: Stranger, made: Made, crane: Crane, path: str) -> None:
    """The same images under another path, by one variable."""
    mirror, apply = stranger.page("Another registry", **{"registry.example.com/counters": path})
    login = {name: made.environment[name] for name in ("SSL_CERT_FILE", "DOCKER_CONFIG")}
    stranger(mirror, CRANE=str(crane.program), **login)
    stranger(apply)
    stranger(stranger.page("Install")[1])

    def moved() -> bool:
        return any(image.startswith(f"{path}/operator@") for image in stranger.images().values())

    stranger.wait("the operator from the other path", 120, moved)


def test_a_stranger_installs_it_from_a_registry_with_a_password(
    made: Made, logged_in: Crane, stranger: Stranger
) -> None:
    install(stranger)
    count(stranger)
    path = f"{plugin(stranger)}:{stranger.environment['PATH']}"
    assert f"kubectl counters {VERSION}" in stranger("kubectl counters --version", PATH=path)
    assert "3001" in stranger("kubectl counters incr clicks sample", PATH=path)
    images = stranger.images()
    assert len(images) == 6, images  # the operator, three members, Redis, the load
    assert set(images.values()) == set((made.folder / "images.txt").read_text().split())
    in_one_namespace(stranger)
    move(stranger, made, logged_in, f"{made.registry.host}/inside/mirror")
    assert "3001" in stranger("kubectl counters get clicks sample", PATH=path)


def test_without_the_builders_cache_the_digests_are_the_same(made: Made, tmp_path: Path) -> None:
    again = made._replace(folder=tmp_path / VERSION)
    done = release(again, "--version", VERSION, "--fresh")
    assert done.returncode == 0, done.stderr
    for name in ("images.txt", "SHA256SUMS"):
        assert (again.folder / name).read_text() == (made.folder / name).read_text()
