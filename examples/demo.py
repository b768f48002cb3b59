"""Shows the main job with real traffic on the cluster that `make cluster` made: counting through
crashes, scaling and a roll.

    make demo          # or, with the cluster up and its environment set: python examples/demo.py

Every step prints its figures and checks its promise; a broken one ends the demo with exit code 1
and diagnostics in a folder. A second run removes what the first one left and starts again."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from rich.console import Console  # noqa: E402

from examples.demo_counters import NODE_IMAGE_NEXT, CounterCluster, Load, Tools  # noqa: E402
from examples.demo_kube import Broken, Namespace, Object, diagnose, kubectl, wait  # noqa: E402

SPACE = Namespace("demo")
CLICKS = CounterCluster(SPACE, "clicks")
TOOLS = Tools(SPACE, "clicks")
SAMPLE = Path(__file__).resolve().parent.parent / "manifests" / "samples" / "clicks.yaml"
RATE = ("--connections", "8", "--rate", "300", "--seconds", "240")
"""A steady pace: the gaps are the cluster's then, not those of a small machine at its limit."""
KEY = "clicks:total"

HOW_TO_GO_ON = """\
The cluster stays up, in namespace demo. Go on with

  eval "$(python3 kind/local.py env)"                       kubectl and KUBECONFIG for this shell
  kubectl -n demo get cc                                    the CounterCluster and how it is
  kubectl -n demo get cc clicks -o yaml                     its members, its leader, its conditions
  kubectl -n demo get secret clicks-client                  for programs: docs/operating/security.md
  kubectl -n demo scale cc/clicks --replicas=5
  kubectl -n demo delete pod clicks-0                       as often as you like

  kubectl delete namespace demo                             removes what the demo made
  make down                                                 removes the whole local cluster"""


class Screen:
    """Headlines, figures, and what a wait is waiting for: a spinner on a terminal, a line now and
    then elsewhere."""

    every_s = 10.0

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._start = self._step_start = self._printed = time.monotonic()

    def step(self, title: str) -> None:
        self._step_start = self._printed = time.monotonic()
        self._console.print(f"\n[bold cyan]{title}[/]")
        if self._console.is_terminal:
            self._status.update(f"[dim]{title}")
            self._status.start()

    def waiting(self, lack: str) -> None:
        if self._console.is_terminal:
            self._status.update(f"[dim]{lack}")
        elif time.monotonic() - self._printed > self.every_s:
            self._printed = time.monotonic()
            self._console.print(f"   … {lack}", markup=False)

    def figure(self, text: str) -> None:
        self._console.print(f"   {text}", markup=False)

    def done(self) -> None:
        self._status.stop()
        self._console.print(f"   [green]✓[/] [dim]{time.monotonic() - self._step_start:.1f} s")

    def books(self, books: Object) -> None:
        gap, latency = books["gap"], books["latencyMilliseconds"]
        self.figure(
            f"{books['acknowledged']:,} increments in {books['seconds']:.1f} s, each counted "
            f"exactly once; "
            f"latency p50 {latency['p50']:g} ms, p99 {latency['p99']:g} ms; longest gap "
            f"{gap['lengthSeconds']:.2f} s"
        )

    def end(self) -> None:
        self._console.print(
            f"\n[bold green]Every promise was kept.[/] [dim]{time.monotonic() - self._start:.0f} "
            f"s in all.\n"
        )
        self._console.print(HOW_TO_GO_ON, markup=False)

    def broken(self, text: str) -> None:
        self._status.stop()
        self._console.print("\n[bold red]A promise was broken:[/]", end=" ")
        self._console.print(text, markup=False)

    def note(self, text: str) -> None:
        self._status.stop()
        self._console.print(text, markup=False)


class Demo:
    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.counted = 0
        """What KEY must be."""
        self.load: Load | None = None

    def run(self) -> None:
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("Removing what the last demo left", self.clean),
            (
                "kubectl apply -f manifests/samples/clicks.yaml: three Raft pods, a Service, Redis",
                self.deploy,
            ),
            ("1,000 increments over 8 connections, through the Service", self.count),
            ("The value, read from every node and from Redis", self.compare),
            ("The leader's pod is killed while 8 connections count", self.kill_leader),
            ("kubectl scale cc/clicks --replicas=5, then 3, while 8 connections count", self.scale),
            (f"Rolled to {NODE_IMAGE_NEXT} while 8 connections count", self.roll),
            ("At the end: the value on every node and in Redis", self.compare),
        )
        for title, step in steps:
            if step == self.clean and not self.left_over():
                continue
            self.screen.step(title)
            step()
            self.screen.done()
        self.screen.end()

    def left_over(self) -> bool:
        return CLICKS.get() is not None or bool(SPACE.list("persistentvolumeclaims"))

    def clean(self) -> None:
        SPACE("delete", "counterclusters,persistentvolumeclaims", "--all", "--wait=false")

        def lack() -> str:
            left = [
                p["metadata"]["name"]
                for kind in ("pods", "persistentvolumeclaims", "services")
                for p in SPACE.list(kind)
            ]
            left = [name for name in left if name != "tools"]
            return f"still there: {', '.join(left)}" if left or CLICKS.get() else ""

        wait("the removal of the last demo", 60, lack, self.screen.waiting)

    def deploy(self) -> None:
        SPACE.make()
        TOOLS.start()
        SPACE("apply", "-f", str(SAMPLE))
        seconds = CLICKS.wait_settled(3, 120, cache=True, say=self.screen.waiting)
        TOOLS.wait()
        self.screen.figure(
            f"Ready after {seconds:.1f} s: {', '.join(CLICKS.pod_names())}; {CLICKS.leader()} leads"
        )

    def count(self) -> None:
        self._count_until(lambda: None, "--connections", "8", "--count", "1000")

    def compare(self) -> None:
        """Every node answers linearizably, so at once; Redis follows a moment later."""
        nodes = [f"{pod}.clicks-peers:6379" for pod in CLICKS.pod_names()]
        values = TOOLS.values(KEY, nodes)
        wrong = {node: value for node, value in values.items() if value != str(self.counted)}
        if wrong:
            raise Broken(f"{KEY} is {self.counted}; but read: {wrong}")
        self.screen.figure(f"{KEY} = {self.counted:,} on {', '.join(CLICKS.pod_names())}")
        seen = {}

        def lack() -> str:
            seen.update(TOOLS.values(KEY, ["clicks-cache:6379"]))
            return (
                ""
                if seen["clicks-cache:6379"] == str(self.counted)
                else f"Redis has {seen['clicks-cache:6379'] or 'nothing'}, not {self.counted}"
            )

        wait("the value in Redis", 15, lack, self.screen.waiting)
        self.screen.figure(f"{KEY} = {self.counted:,} in Redis")

    def kill_leader(self) -> None:
        old = CLICKS.wait_leader()

        def kill() -> None:
            start = time.monotonic()
            SPACE("delete", "pod", old, "--force", "--grace-period=0")
            new = CLICKS.wait_leader(other_than=old)
            self.screen.figure(
                f"{old} led and was killed; {new} seen leading {time.monotonic() - start:.1f} s "
                f"later"
            )
            seconds = CLICKS.wait_settled(3, 90, say=self.screen.waiting)
            self.screen.figure(f"three voters again after {seconds:.1f} s more")

        self._count_until(kill, *RATE)

    def scale(self) -> None:
        def scale() -> None:
            for replicas in (5, 3):
                SPACE("scale", "cc/clicks", f"--replicas={replicas}")
                seconds = CLICKS.wait_settled(replicas, 120, say=self.screen.waiting)
                self.screen.figure(
                    f"{replicas} voters after {seconds:.1f} s; {CLICKS.leader()} leads"
                )

        self._count_until(scale, *RATE)

    def roll(self) -> None:
        def roll() -> None:
            leader = CLICKS.wait_leader()
            SPACE(
                "patch",
                "cc",
                "clicks",
                "--type=merge",
                "-p",
                f'{{"spec":{{"image":"{NODE_IMAGE_NEXT}"}}}}',
            )
            start = time.monotonic()
            order = CLICKS.wait_rolled(NODE_IMAGE_NEXT, 3, 150, self.screen.waiting)
            self.screen.figure(
                f"replaced in {time.monotonic() - start:.1f} s, in this order: "
                f"{', '.join(order)}; {leader} had led"
            )
            if order[-1] != leader:
                raise Broken(
                    f"the leader {leader} was to be replaced last, but the order was "
                    f"{', '.join(order)}"
                )

        self._count_until(roll, *RATE)

    def _count_until(self, act: Callable[[], None], *words: str) -> None:
        """Counts while `act` runs, and checks that the books balance from one load to the next."""
        self.load = TOOLS.load(KEY, *words)
        if "--count" in words:
            books = self.load.result()
        else:
            self.load.wait_counting()
            act()
            books = self.load.stop()
        self.load = None
        if books["initial"] != self.counted:
            raise Broken(
                f"{KEY} was {self.counted} and is {books['initial']} without anybody having counted"
            )
        self.counted = books["final"]
        self.screen.books(books)


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    screen = Screen()
    demo = Demo(screen)
    try:
        if "counterclusters" not in kubectl(
            "api-resources", "--api-group=countercluster.io", check=False, seconds=20
        ):
            screen.note(
                "There is no cluster with the operator here. Run: make cluster && eval "
                '"$(python3 kind/local.py env)"'
            )
            return 1
        demo.run()
    except Broken as broken:
        screen.broken(str(broken))
        folder = diagnose([SPACE], Path(tempfile.mkdtemp(prefix="countercluster-demo-")))
        screen.note(
            f"Pods, events, logs and the nodes' own status are in {folder}; everything was left "
            f"as it is."
        )
        return 1
    except KeyboardInterrupt:
        screen.note(
            "\ninterrupted; `make demo` starts the demo again, `make down` removes the cluster"
        )
        return 130
    finally:
        if demo.load:
            demo.load.abandon()
    return 0


if __name__ == "__main__":
    sys.exit(main())
