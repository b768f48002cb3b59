"""The commands of kind/local.py."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Sequence

from kind import cluster, metrics, plan, state
from kind.doctor import findings
from kind.packaging import apps, pinned
from kind.tools import engine, golang, host, programs
from kind.tools.progress import Lane, Step, estimate_s, perform, remaining, run_all, say, spoken
from kind.tools.settings import APP_IMAGES, TEST_PACKAGES, bin_folder, cache_root, kubeconfig
from kind.tools.shell import Problem
from kind.tools.store import Store, remove_tree

USAGE = """
up          the cluster with the project's images; uses what is there, makes what is not
load        builds the project's images and brings what changed to the running nodes
pin         writes down which base images the tags stand for now: kind/packaging/digests.json
metrics     metrics-server on the running cluster, for autoscalers
status      engine, nodes, images; exits with 1 when something is wrong
doctor      what this machine has and lacks
kubeconfig  prints the path of the cluster's kubeconfig
programs    etcd and the Kubernetes programs for tests without a cluster; prints how each is called
packages    the Debian packages that tests call, where root can install them; else says which lack
checks      kubeconform and kube-score, which judge manifests in tests; prints their folder
s3          versitygw, the S3 server of the tests; prints its folder
env         prints shell lines for kubectl, kind and KUBECONFIG: eval "$(python3 kind/local.py env)"
down        deletes the cluster, ends the engine if it was started here, keeps the cache
clean       down, and removes the cache as well
"""


def main(arguments: Sequence[str] | None = None) -> int:
    commands: dict[str, Callable[[Store], int]] = {
        "up": up, "load": load, "pin": pin, "metrics": add_metrics, "status": status,
        "doctor": doctor, "kubeconfig": print_kubeconfig,
        "env": print_env,        "programs": print_programs, "packages": test_packages,
        "checks": print_checks, "s3": print_s3, "down": down, "clean": clean,
    }  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="kind/local.py", epilog=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=commands)
    chosen = parser.parse_args(arguments)
    try:
        return commands[chosen.command](Store(cache_root()))
    except Problem as problem:
        say(f"\nerror: {problem}")
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted; the next run goes on where this one stopped")
        return 130


def up(store: Store) -> int:
    started = time.monotonic()
    with store.exclusive():
        ground = plan.lay_ground(store)
        todo = remaining(plan.steps(ground))
        say(
            f"to do: {', '.join(step.name for step in todo)} (at most {spoken(estimate_s(todo))} "
            f"on 2 processors)"
        )
        run_all(todo)
        store.forget_old()
    say(f"the cluster is up after {spoken(time.monotonic() - started)}; KUBECONFIG={kubeconfig()}")
    return 0


def load(store: Store) -> int:
    with store.exclusive():
        pull = state.read(store.root).pull
        if pull is None or not engine.runs():
            raise Problem("there is no running cluster", "python3 kind/local.py up")
        perform(
            Step(
                "images of the project",
                Lane.ENGINE,
                10,
                lambda: apps.make_all(store, pull),
                lambda: False,
            )
        )
        perform(
            Step(
                "images on the nodes",
                Lane.ENGINE,
                10,
                lambda: plan.load_images(store),
                lambda: False,
            )
        )
    return 0


def pin(store: Store) -> int:
    if not engine.runs() or not engine.can_pull():
        raise Problem("there is no running engine that can pull images", "run this where one can")
    images = [image for recipe in apps.RECIPES for image in recipe.pulled.values()]
    for image, digest in pinned.pin(store, [*images, metrics.PULLED]).items():
        say(f"{image}  {digest}")
    return 0


def add_metrics(store: Store) -> int:
    with store.exclusive():
        pull = state.read(store.root).pull
        if pull is None or not engine.runs():
            raise Problem("there is no running cluster", "python3 kind/local.py up")
        perform(
            Step(
                "metrics-server",
                Lane.CPU,
                120,
                lambda: metrics.add(store, pull=pull),
                lambda: False,
            )
        )
    return 0


def status(store: Store) -> int:
    if not engine.runs():
        print("engine    does not run")
        return 1
    own = engine.Engine(store).pid()
    print(f"engine    runs{f' (ours, process {own})' if own else ''}")
    nodes = cluster.containers()
    for name, container_state in sorted(nodes.items()):
        print(f"node      {name}: {container_state}")
    if not nodes:
        print("cluster   none")
        return 1
    ids = engine.image_ids(APP_IMAGES)
    for node in cluster.workers():
        missing = cluster.missing_on(node, ids)
        print(f"images    {node}: {f'lacks {chr(44).join(missing)}' if missing else 'all'}")
    wrong = cluster.complaints()
    for line in wrong:
        print(f"wrong     {line}")
    if not wrong:
        print(f"cluster   healthy; KUBECONFIG={kubeconfig()}")
    return 1 if wrong else 0


def doctor(store: Store) -> int:
    found = findings(store.root)
    for finding in found:
        print(f"{'ok' if finding.good else 'missing':8} {finding.what}")
        if not finding.good and finding.remedy:
            print(f"         remedy: {finding.remedy}")
    return 0 if all(finding.good for finding in found) else 1


def print_kubeconfig(_: Store) -> int:
    print(kubeconfig())
    return 0


def print_env(_: Store) -> int:
    print(f"export KUBECONFIG={kubeconfig()}")
    print(f'export PATH="{bin_folder()}:$PATH"')
    return 0


def test_packages(store: Store) -> int:
    """A machine that cannot install them runs the tests that need none, and each other one says
    what it lacks."""
    missing = host.missing_packages(TEST_PACKAGES)
    if not missing:
        return 0
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        say(f"tests that need these Debian packages are skipped, or fail: {' '.join(missing)}")
        return 0
    say(f"installing for the tests: {' '.join(missing)}")
    with store.exclusive():
        host.install_packages(store.log("apt"), TEST_PACKAGES)
    return 0


def print_programs(store: Store) -> int:
    if not programs.are_here(store):
        with store.exclusive():
            programs.make(store)
    for name in programs.NAMES:
        print(" ".join(programs.command(name)))
    return 0


def print_checks(store: Store) -> int:
    return _print_installed(store, "checks")


def print_s3(store: Store) -> int:
    return _print_installed(store, "s3")


def _print_installed(store: Store, name: str) -> int:
    if not golang.has_installed(store, name):
        with store.exclusive():
            golang.installed(store, name)
    print(golang.installed(store, name))
    return 0


def down(store: Store) -> int:
    with store.exclusive():
        remembered = state.read(store.root)
        state.update(store.root, cluster="")
        if engine.runs() and cluster.containers():
            perform(
                Step("deleting the cluster", Lane.ENGINE, 5, lambda: _delete(store), lambda: False)
            )
        if remembered.routes:
            cluster.remove_routes(remembered.routes)
            state.update(store.root, routes=())
        if engine.Engine(store).stop():
            say("ok the engine that was started here has ended")
        kubeconfig().unlink(missing_ok=True)
    return 0


def _delete(store: Store) -> None:
    cluster.delete(store, plan.kind_program(store))


def clean(store: Store) -> int:
    down(store)
    remove_tree(store.root)
    return 0
