"""The pictures of what a user sees, made from real output: `make pictures`, on the local cluster
and on loopback.

status.svg, top.svg   `kubectl counters` at a CounterCluster of the script's own, under load
failover.svg          increments as they are acknowledged while the leader's process is killed,
                      hands over, and a follower is killed
"""

from __future__ import annotations

import argparse
import datetime
import io
import itertools
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from countercluster import Counters
from kubectl_counters import views
from kubectl_counters.kube import Kube, quiet_port_forwards
from kubectl_counters.session import Session
from rich.console import Console, RenderableType

from examples.demo_counters import CounterCluster, Tools
from examples.demo_kube import Namespace, kubectl
from tests.support.devcluster import DevCluster

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
CLUSTER = """apiVersion: countercluster.io/v1alpha1
kind: CounterCluster
metadata: {name: clicks}
spec: {}
"""
THREADS, BIN_S, END_S = 16, 0.25, 18.0


def terminal(name: str, command: str, shown: RenderableType, width: int) -> None:
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(shown)
    picture = console.export_svg(title=f"$ {command}", unique_id=name)
    picture = re.sub(
        r"@font-face\s*\{.*?\}", "", picture, flags=re.DOTALL
    )  # fonts of other servers
    (IMAGES / f"{name}.svg").write_text(
        "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"
    )


def of_the_plugin() -> None:
    space = Namespace("shop")
    kubectl("create", "namespace", space.name)  # raises Broken for one that is somebody's already
    try:
        counters, tools = CounterCluster(space, "clicks"), Tools(space, "clicks")
        tools.start()
        space("apply", "-f", "-", stdin=CLUSTER)
        counters.wait_settled(3, 180)
        tools.wait()
        load = tools.load("visits", "--connections", "32", "--seconds", "60")
        load.wait_counting()
        session = Session(Kube.connect(namespace=space.name))
        before = {
            p["metadata"]["name"]: views.samples(session.nodes("clicks").page(p, "/metrics"))
            for p in session.kube.pods("clicks")
        }
        since = time.monotonic()
        time.sleep(5)
        pages = {
            p["metadata"]["name"]: session.nodes("clicks").page(p, "/metrics")
            for p in session.kube.pods("clicks")
        }
        rates = {
            pod: views.rates(before[pod], views.samples(page), time.monotonic() - since)
            for pod, page in pages.items()
        }
        _, found = session.found("clicks")
        terminal("status", "kubectl counters status clicks", views.status_view(found), 132)
        terminal("top", "kubectl counters top clicks", views.top_view(found, rates), 108)
        load.stop()
    finally:
        kubectl("delete", "namespace", space.name, "--wait=false", "--ignore-not-found")


def counted(cluster: DevCluster, begin: float, stop: threading.Event, into: list[float]) -> None:
    """Adds when each acknowledgement came, in seconds since `begin`."""
    with Counters(cluster.urls) as counters:
        while not stop.is_set():
            counters.incr("visits")
            into.append(time.monotonic() - begin)


def failover() -> None:
    with tempfile.TemporaryDirectory() as folder, DevCluster(Path(folder), 3) as cluster:
        stop, begin = threading.Event(), time.monotonic()
        acknowledged: list[list[float]] = [[] for _ in range(THREADS)]
        threads = [
            threading.Thread(target=counted, args=(cluster, begin, stop, into))
            for into in acknowledged
        ]
        events: list[tuple[float, str]] = []

        def at(second: float, what: str) -> None:
            time.sleep(max(0.0, begin + second - time.monotonic()))
            events.append((time.monotonic() - begin, what))

        for thread in threads:
            thread.start()
        try:
            at(4, "leader killed (kill -9)")
            cluster.signal(leader(cluster), signal.SIGKILL)
            at(9, "leadership handed over")
            cluster.admin(leader(cluster), "RAFT.TRANSFER", "0" * 16)
            at(13, "follower killed (kill -9)")
            cluster.signal((leader(cluster) + 1) % 3, signal.SIGKILL)
            time.sleep(max(0.0, begin + END_S - time.monotonic()))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        times = sorted(t for into in acknowledged for t in into)
        with Counters(cluster.urls) as counters:
            total = counters.get("visits")
    assert total == len(times), f"{len(times)} were acknowledged, {total} counted"
    gap, where = max((b - a, a) for a, b in itertools.pairwise(times))
    words = (
        f"{total:,} increments acknowledged, {total:,} counted; longest time without one: "
        f"{gap * 1000:.0f} ms, at {where:.1f} s"
    )
    (IMAGES / "failover.svg").write_text(plot(times, events, words))
    print(words)


def leader(cluster: DevCluster) -> int:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        for node in range(3):
            try:
                if cluster.status(node)["role"] == "leader":
                    return node
            except Exception:  # it is being started again
                continue
        time.sleep(0.1)
    raise AssertionError("nobody leads")


class Plot:
    """Acknowledgements a second over time, as an SVG: `left`, `top` and so on are in its units."""

    left, top, width, height = 80, 60, 840, 260

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = rates
        steps = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
        self.step = next(s for s in steps if max(rates) / s <= 6)
        self.most = self.step * (int(max(rates) / self.step) + 1)

    def x(self, t: float) -> float:
        return self.left + self.width * t / END_S

    def y(self, rate: float) -> float:
        return self.top + self.height * (1 - rate / self.most)

    def grid(self) -> Iterator[str]:
        """A line for each step of the rate, and the seconds below."""
        left, width = self.left, self.width
        for rate in range(0, self.most + 1, self.step):
            yield (
                f'<line x1="{left}" x2="{left + width}" y1="{self.y(rate):.1f}" '
                f'y2="{self.y(rate):.1f}" stroke="#e2e2e2"/>'
            )
            yield (
                f'<text x="{left - 8}" y="{self.y(rate) + 4:.1f}" text-anchor="end" '
                f'fill="#555555">{rate:,}</text>'
            )
        below = f'y="{self.top + self.height + 20}" text-anchor="middle" fill="#555555"'
        for second in range(0, int(END_S) + 1, 2):
            yield f'<text x="{self.x(second):.1f}" {below}>{second} s</text>'

    def event(self, when: float, what: str) -> Iterator[str]:
        x = self.x(when)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.top - 8}" y2="{self.top + self.height}" '
            f'stroke="#b03030" stroke-dasharray="4 3"/>'
        )
        yield f'<text x="{x + 5:.1f}" y="{self.top - 2}" fill="#b03030">{what}</text>'

    def curve(self) -> str:
        path = " ".join(
            f"{'L' if n else 'M'}{self.x((n + 0.5) * BIN_S):.1f},{self.y(rate):.1f}"
            for n, rate in enumerate(self.rates)
        )
        return f'<path d="{path}" fill="none" stroke="#1f4e79" stroke-width="1.6"/>'


def plot(times: Sequence[float], events: Sequence[tuple[float, str]], words: str) -> str:
    bins = [0] * int(END_S / BIN_S)
    for t in times:
        if t < END_S:
            bins[int(t / BIN_S)] += 1
    made = Plot([n / BIN_S for n in bins])
    left, below = made.left, made.top + made.height
    today = datetime.datetime.now(datetime.UTC).date()
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 400" width="960" height="400" '
        'font-family="Helvetica, Arial, sans-serif" '
        'font-size="13">\n<title>Increments through failures</title>\n<rect width="960" '
        'height="400" fill="#ffffff"/>',
        f'<text x="{left}" y="26" font-size="16" fill="#222222">Acknowledged increments each '
        f"second; three nodes, {THREADS} connections</text>",
        *made.grid(),
        *(line for when, what in events for line in made.event(when, what)),
        made.curve(),
        f'<text x="{left}" y="{below + 48}" fill="#222222">{words}</text>',
        f'<text x="{left}" y="{below + 68}" fill="#777777">By generators/pictures.py on {today}, '
        f"on two shared cores.</text>",
    ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    quiet_port_forwards()
    failover()
    of_the_plugin()
