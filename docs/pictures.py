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
from collections.abc import Sequence
from pathlib import Path

from countercluster import Counters
from kubectl_counters import views
from kubectl_counters.__main__ import Session
from kubectl_counters.kube import Kube, quiet_port_forwards
from rich.console import Console, RenderableType

from examples.demo_counters import CounterCluster, Tools
from examples.demo_kube import Namespace, kubectl
from tests.support.devcluster import DevCluster

IMAGES = Path(__file__).resolve().parent / "images"
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
            except Exception:  # it is being started anew
                continue
        time.sleep(0.1)
    raise AssertionError("nobody leads")


def plot(times: Sequence[float], events: Sequence[tuple[float, str]], words: str) -> str:
    left, top, width, height = 80, 60, 840, 260
    bins = [0] * int(END_S / BIN_S)
    for t in times:
        if t < END_S:
            bins[int(t / BIN_S)] += 1
    rates = [n / BIN_S for n in bins]
    step = next(
        s for s in (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000) if max(rates) / s <= 6
    )
    most = step * (int(max(rates) / step) + 1)

    def x(t: float) -> float:
        return left + width * t / END_S

    def y(rate: float) -> float:
        return top + height * (1 - rate / most)

    path = " ".join(
        f"{'L' if n else 'M'}{x((n + 0.5) * BIN_S):.1f},{y(rate):.1f}"
        for n, rate in enumerate(rates)
    )
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 400" width="960" height="400" '
        'font-family="Helvetica, Arial, sans-serif" '
        'font-size="13">\n<title>Increments through failures</title>\n<rect width="960" '
        'height="400" fill="#ffffff"/>',
        f'<text x="{left}" y="26" font-size="16" fill="#222222">Acknowledged increments each '
        f"second; three nodes, {THREADS} connections</text>",
    ]
    for rate in range(0, most + 1, step):
        lines.append(
            f'<line x1="{left}" x2="{left + width}" y1="{y(rate):.1f}" y2="{y(rate):.1f}" '
            f'stroke="#e2e2e2"/>'
        )
        lines.append(
            f'<text x="{left - 8}" y="{y(rate) + 4:.1f}" text-anchor="end" '
            f'fill="#555555">{rate:,}</text>'
        )
    below = f'y="{top + height + 20}" text-anchor="middle" fill="#555555"'
    lines += [
        f'<text x="{x(second):.1f}" {below}>{second} s</text>'
        for second in range(0, int(END_S) + 1, 2)
    ]
    for when, what in events:
        lines.append(
            f'<line x1="{x(when):.1f}" x2="{x(when):.1f}" y1="{top - 8}" y2="{top + height}" '
            f'stroke="#b03030" stroke-dasharray="4 3"/>'
        )
        lines.append(f'<text x="{x(when) + 5:.1f}" y="{top - 2}" fill="#b03030">{what}</text>')
    lines.append(f'<path d="{path}" fill="none" stroke="#1f4e79" stroke-width="1.6"/>')
    lines.append(f'<text x="{left}" y="{top + height + 48}" fill="#222222">{words}</text>')
    made = datetime.datetime.now(datetime.UTC).date()
    lines.append(
        f'<text x="{left}" y="{top + height + 68}" fill="#777777">By docs/pictures.py on {made}, '
        f"on two shared cores.</text>"
    )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    quiet_port_forwards()
    failover()
    of_the_plugin()
