"""From results.json: a table with ratios (README.md) and two plots."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import scenarios, systems
from benchmarks.scenarios import Scenario

COLOURS = {
    "ours": "#0b6e4f", "etcd": "#419eda", "redis-wait": "#d82c20", "redis": "#f2a49f",
    "floor": "#e8d8c8", "hashicorp": "#6b4fbb",
    "pysyncobj": "#999999", "pure": "#8fc1a9",
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A ratio that we want to reach: a figure of ours over a figure of a peer, both from this
    run."""

    what: str
    ours: str
    peer: str
    peer_scenario: str
    least: float
    figure: str = "rate"


TARGETS = (
    Target("increments, 50 connections, to etcd's puts", "c50", "etcd", "c50", 5),
    Target(
        "increments on a hot key, 50 connections, to etcd's compare-and-swap",
        "c50",
        "etcd",
        "cas",
        50,
    ),
    Target("increments, 50 connections, to Redis + WAIT", "c50", "redis-wait", "c50", 1.2),
    Target("increments, 50 connections, to hashicorp/raft", "c50", "hashicorp", "c50", 2),
    Target("increments, 500 connections, to Redis + WAIT", "c500", "redis-wait", "c500", 1.2),
    Target("increments, pipelines of 16, to Redis + WAIT", "p16", "redis-wait", "p16", 8),
    Target("increments, pipelines of 16, to one Redis with AOF always", "p16", "redis", "p16", 0.8),
    Target(
        "median latency of Redis + WAIT to ours, 1 connection",
        "c1",
        "redis-wait",
        "c1",
        1,
        "p50_ms",
    ),
    Target("linearizable reads, 50 connections, to etcd's", "get", "etcd", "get", 3),
    Target(
        "a fixed window's script, 50 connections, to our INCR", "fixed-window", "ours", "c50", 0.5
    ),
    Target("a GCRA's script, 50 connections, to our INCR", "gcra", "ours", "c50", 0.5),
    Target(
        "a fixed window's script, to Redis + WAIT",
        "fixed-window",
        "redis-wait",
        "fixed-window",
        1.5,
    ),
    Target("a GCRA's script, to Redis + WAIT", "gcra", "redis-wait", "gcra", 1.5),
)


CPU_TARGETS = (
    ("500 connections", "n1-c500", "n5-spread"),
    ("500 connections with pipelines of 16", "n1-c500-p16", "n5-spread-p16"),
)
"""Of the leader for each command: with one node, and with five whose clients are spread over all of
them, so that gateways do the parsing."""


class Results:
    def __init__(self, data: dict[str, Any]) -> None:
        self.about: dict[str, Any] = data["about"]
        self._samples: list[dict[str, Any]] = data["samples"]

    def all(self, system: str, scenario: str, figure: str) -> list[float]:
        return [
            float(s[figure])
            for s in self._samples
            if s["system"] == system and s["scenario"] == scenario
        ]

    def median(self, system: str, scenario: str, figure: str = "rate") -> float | None:
        values = self.all(system, scenario, figure)
        return statistics.median(values) if values else None

    def cpu(self, system: str, scenario: str) -> dict[str, float]:
        found = [
            s["cpu_us"]
            for s in self._samples
            if s["system"] == system and s["scenario"] == scenario
        ]
        return {
            name: statistics.median(f.get(name, 0.0) for f in found)
            for name in (found[0] if found else {})
        }

    def errors(self, system: str, scenario: str) -> int:
        return int(sum(self.all(system, scenario, "errors")))

    def ratio(self, target: Target) -> float | None:
        """Median over the rounds of the ratio within a round."""
        ours = self.all("ours", target.ours, target.figure)
        peer = self.all(target.peer, target.peer_scenario, target.figure)
        if not ours or not peer:
            return None
        pairs = [
            (b / a if target.figure.endswith("_ms") else a / b)
            for a, b in zip(ours, peer, strict=False)
            if a and b
        ]
        return statistics.median(pairs) if pairs else None

    @property
    def systems(self) -> list[str]:
        return [
            s.name
            for s in systems.BY_NAME.values()
            if any(x["system"] == s.name for x in self._samples)
        ]

    @property
    def scenarios(self) -> list[Scenario]:
        return [s for s in scenarios.ALL if any(x["scenario"] == s.name for x in self._samples)]


def write(directory: Path) -> None:
    results = Results(json.loads((directory / "results.json").read_text()))
    (directory / "README.md").write_text(markdown(results))
    plot_rates(results, directory / "throughput.png")
    plot_latency(results, directory / "latency.png")


def markdown(r: Results) -> str:
    lines = [
        "# Results",
        "",
        "Written by `make bench`. Processes and load generator share the machine's cores: "
        "compare ratios, not figures.",
        "",
        *(f"- {name}: {value}" for name, value in r.about.items()),
        *_wanted(r),
        *_floor(r),
        *_rates(r),
        *_processes(r),
    ]
    return "\n".join(lines) + "\n"


def _wanted(r: Results) -> Iterator[str]:
    """The targets, and what came of each."""
    yield from (
        "",
        "## What we want to reach",
        "",
        "| ratio | wanted | got | |",
        "|---|---:|---:|---|",
    )
    for target in TARGETS:
        got = r.ratio(target)
        if got is not None:
            verdict = "yes" if got >= target.least else "no"
            yield f"| {target.what} | {target.least:g} | {got:.2f} | {verdict} |"
    p99 = r.median("ours", "half", "p99_ms")
    if p99 is not None:
        yield (
            f"| 99th percentile at half of the top rate, ms (at most) | 5 | {p99:.2f} | "
            f"{'yes' if p99 < 5 else 'no'} |"
        )
    for what, one, five in CPU_TARGETS:
        before, after = r.cpu("ours", one).get("leader"), r.cpu("ours", five).get("leader")
        if before and after:
            verdict = "yes" if after <= before else "no"
            yield (
                f"| the leader's CPU for a command, one node to five, {what}, µs (no more) | "
                f"{before:.2f} | {after:.2f} | {verdict} |"
            )


def _floor(r: Results) -> Iterator[str]:
    """What the machine itself adds to a 99th percentile."""
    floor = r.all("floor", "half", "p99_ms")
    if floor:
        spread = f"{statistics.median(floor):.1f} ms ({min(floor):.1f} to {max(floor):.1f})"
        yield ""
        yield (
            f"A Redis that writes nothing and replicates nothing had a 99th percentile of "
            f"{spread} at our half rate:"
        )
        yield "the machine's stalls, and the generator's own waiting for a core."


def _rates(r: Results) -> Iterator[str]:
    yield from (
        "",
        "## Operations per second",
        "",
        "Median of the rounds (lowest to highest), then the median and the 99th percentile of "
        "the latency, ms.",
        "",
        "| | " + " | ".join(systems.BY_NAME[s].title for s in r.systems) + " |",
        "|---|" + "---|" * len(r.systems),
    )
    for scenario in r.scenarios:
        cells = " | ".join(_cell(r, s, scenario) for s in r.systems)
        yield f"| {scenario.title} | {cells} |"
    yield from ("", "![operations per second](throughput.png)", "", "![latency](latency.png)", "")


def _processes(r: Results) -> Iterator[str]:
    yield from (
        "## CPU",
        "",
        "Microseconds of CPU per operation, of each process.",
        "",
        "| | system | processes |",
        "|---|---|---|",
    )
    for scenario in r.scenarios:
        for system in r.systems:
            if cpu := r.cpu(system, scenario.name):
                each = ", ".join(f"{name} {value:.1f}" for name, value in cpu.items())
                yield f"| {scenario.title} | {system} | {each} |"


def _cell(r: Results, system: str, scenario: Scenario) -> str:
    rates = r.all(system, scenario.name, "rate")
    if not rates:
        return ""
    p50, p99 = r.median(system, scenario.name, "p50_ms"), r.median(system, scenario.name, "p99_ms")
    errors = r.errors(system, scenario.name)
    text = (
        f"**{statistics.median(rates):,.0f}** ({min(rates):,.0f}-{max(rates):,.0f}) {p50:.2f} "
        f"/ {p99:.1f}"
    )
    return text + (f", {errors} errors" if errors else "")


def _bars(r: Results, figure: str, chosen: list[str], path: Path, label: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [s for s in r.scenarios if s.name in chosen]
    if not shown:
        return
    plot, axes = plt.subplots(figsize=(11, 1.0 + 0.85 * len(shown)))
    height = 0.85 / max(1, len(r.systems))
    for place, system in enumerate(r.systems):
        for row, scenario in enumerate(shown):
            values = r.all(system, scenario.name, figure)
            if not values:
                continue
            middle, y = statistics.median(values), row + place * height
            axes.barh(
                y, middle, height * 0.92, color=COLOURS[system], label=systems.BY_NAME[system].title
            )
            axes.plot([min(values), max(values)], [y, y], color="#333333", linewidth=1)
            axes.annotate(
                f" {middle:,.0f}" if middle >= 100 else f" {middle:.2f}",
                (max(values), y),
                va="center",
                fontsize=7,
            )
    axes.set_yticks(
        [row + 0.85 / 2 - height / 2 for row in range(len(shown))], [s.title for s in shown]
    )
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(
        unique.values(),
        unique.keys(),
        fontsize=8,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.4, 1.1),
        ncols=3,
    )
    plot.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(plot)


def plot_rates(r: Results, path: Path) -> None:
    label = "operations per second, median and spread of the rounds (logarithmic)"
    _bars(r, "rate", ["c1", "c50", "c500", "p16", "p100", "keys", "get", "cas"], path, label)


def plot_latency(r: Results, path: Path) -> None:
    _bars(
        r,
        "p99_ms",
        ["c1", "c50", "c500", "p16", "get", "half"],
        path,
        "99th percentile in ms, median and spread of the rounds (logarithmic)",
    )
