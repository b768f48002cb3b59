"""Runs the scenarios: all systems are up, and each scenario is asked of one after the other, so
that a slow minute of the machine hits all of them. Who is not asked is idle and costs next to
nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.scenarios import Scenario
from benchmarks.system import NotStarted, System
from benchmarks.tools import Tools

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    system: str
    scenario: str
    round: int
    rate: float  # operations per second
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    errors: int
    first_error: str
    cpu_us: dict[str, float] = field(
        default_factory=dict
    )  # process -> CPU microseconds per operation


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(system: System, scenario: Scenario, round_: int, seconds: float, rate: float) -> Sample:
    """One scenario on a running system.

    Raises:
        subprocess.CalledProcessError: the load generator failed; its stderr is in the error.
    """
    command = system.load_command(scenario, seconds, rate)
    with system.disturbed(scenario):
        before = {name: cpu_seconds(pid) for name, pid in system.processes.items()}
        start = time.monotonic()
        answer = subprocess.run(
            command, capture_output=True, timeout=seconds + 60, check=True, text=True
        )
        took = time.monotonic() - start
        used = {name: cpu_seconds(pid) - before[name] for name, pid in system.processes.items()}
    found = json.loads(answer.stdout)
    operations = max(1.0, found["rate"] * took)  # also those of the warm-up
    used["generator"] = found["cpu_s"]
    cpu_us = {name: round(value / operations * 1e6, 2) for name, value in used.items()}
    return Sample(
        system.name, scenario.name, round_, found["rate"], found["p50_ms"], found["p90_ms"],
        found["p99_ms"], found["p999_ms"],
        found["errors"], found["first_error"], cpu_us,
    )  # fmt: skip


class Run:
    def __init__(self, tools: Tools, directory: Path, seconds: float) -> None:
        self.tools, self.directory, self.seconds = tools, directory, seconds
        self.samples: list[Sample] = []

    def round(self, number: int, kinds: list[type[System]], scenarios: list[Scenario]) -> None:
        """Those with the same number of nodes on the same clusters, new ones in each round."""
        for nodes in sorted({s.nodes for s in scenarios}):
            asked = [s for s in scenarios if s.nodes == nodes]
            systems = [self._made(kind, nodes) for kind in kinds if any(kind.can(s) for s in asked)]
            try:
                started = [system for system in systems if self._started(system)]
                time.sleep(0.5)
                for scenario in asked:
                    for system in started:
                        if type(system).can(scenario):
                            self._one(system, scenario, number)
            finally:
                for system in systems:
                    system.stop()
                    shutil.rmtree(system.directory.parent, ignore_errors=True)

    def _made(self, kind: type[System], nodes: int) -> System:
        return kind(
            self.tools,
            nodes,
            Path(tempfile.mkdtemp(dir=self.directory, prefix=f"{kind.name}-")) / "system",
        )

    def _started(self, system: System) -> bool:
        try:
            system.start()
        except NotStarted as error:
            print(
                f"  {system.name:11} with {system.nodes} nodes did not start and is left out of "
                f"this round: {error}",
                flush=True,
            )
            return False
        return True

    def _one(self, system: System, scenario: Scenario, number: int) -> None:
        rate = 0.0
        if scenario.half_rate_of:
            whose = system.rate_of or system.name
            rates = [
                s.rate
                for s in self.samples
                if (s.system, s.scenario, s.round) == (whose, scenario.half_rate_of, number)
            ]
            if not rates:
                return
            rate = rates[0] / 2
        try:
            sample = measure(system, scenario, number, self.seconds, rate)
        except subprocess.CalledProcessError as error:
            print(
                f"  {system.name:11} {scenario.name:12} failed: {error.stderr.strip()}", flush=True
            )
            return
        self.samples.append(sample)
        trouble = f"  {sample.errors} errors: {sample.first_error}" if sample.errors else ""
        latency = f"p50 {sample.p50_ms:7.2f}  p99 {sample.p99_ms:7.2f} ms"
        print(
            f"  {system.name:11} {scenario.name:12} {sample.rate:>10,.0f}/s  {latency}{trouble}",
            flush=True,
        )

    def save(self, path: Path, about: dict[str, object]) -> None:
        path.write_text(
            json.dumps({"about": about, "samples": [asdict(s) for s in self.samples]}, indent=1)
            + "\n"
        )
