"""What a load generator saw, kept small: counts per second, the longest silence, a histogram of
latencies, and on request every operation."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

HISTOGRAM_STEP = 1.05
"""Latencies are kept in classes that grow by 5 %: the error of a percentile is at most that, and
the memory is bounded."""
PROBLEMS_KEPT = 5
PLACES = 1 << 16
"""Values answered are marked in blocks of so many bytes, one each: a million increments cost a
megabyte."""

Operation = tuple[str, float, float, int | None]
"""add or get; start and end in seconds since the load began; the value answered, None when the
outcome of an add is unknown."""


@dataclass
class Books:
    """The result. `initial` and `final` are the counter's values before and after."""

    initial: int
    seconds: float
    acknowledged: int
    unknown: int
    errors: int
    reads: int
    problems: list[str]
    per_second: list[int]
    gap_start_s: float
    gap_length_s: float
    latency_ms: dict[str, float]
    repeated: int = 0
    """Values that two increments were answered: each increment makes a value of its own, so one of
    the two is lost, or was executed twice."""
    lowest: int | None = None
    highest: int | None = None
    history: list[Operation] | None = None
    final: int = field(default=0)

    @property
    def delta(self) -> int:
        return self.final - self.initial

    @property
    def lost(self) -> int:
        """Increments that were acknowledged and are not there."""
        return max(0, self.acknowledged - self.delta)

    @property
    def doubled(self) -> int:
        """Increments that are there beyond everything that may have been executed once."""
        return max(0, self.delta - self.acknowledged - self.unknown)

    @property
    def outside(self) -> bool:
        """A value was answered that does not lie between the counter before and after."""
        return (
            self.lowest is not None
            and self.highest is not None
            and not self.initial < self.lowest <= self.highest <= self.final
        )

    @property
    def balanced(self) -> bool:
        return self.lost == self.doubled == self.repeated == 0 and not self.outside

    def as_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "acknowledged": self.acknowledged,
            "unknown": self.unknown,
            "errors": self.errors,
            "reads": self.reads,
            "seconds": round(self.seconds, 3),
            "perSecond": self.per_second,
            "gap": {
                "startSeconds": round(self.gap_start_s, 3),
                "lengthSeconds": round(self.gap_length_s, 3),
            },
            "latencyMilliseconds": self.latency_ms,
            "initial": self.initial,
            "final": self.final,
            "delta": self.delta,
            "lost": self.lost,
            "doubled": self.doubled,
            "repeated": self.repeated,
            "outside": self.outside,
            "balanced": self.balanced,
            "problems": self.problems,
        }
        if self.history is not None:
            result["history"] = self.history
        return result

    def as_text(self) -> str:
        rate = self.acknowledged / self.seconds if self.seconds else 0.0
        latency = ", ".join(f"{name} {value:g} ms" for name, value in self.latency_ms.items())
        verdict = (
            "nothing lost, nothing doubled"
            if self.balanced
            else f"LOST {self.lost}, DOUBLED {self.doubled}, ANSWERED TWICE {self.repeated}"
        )
        verdict += (
            f"; answers {self.lowest} to {self.highest}, OUTSIDE of {self.initial} to {self.final}"
            if self.outside
            else ""
        )
        return "\n".join(
            [
                f"acknowledged  {self.acknowledged:,} in {self.seconds:.1f} s ({rate:,.0f}/s); "
                f"unknown {self.unknown}, errors {self.errors}",
                f"latency       {latency or 'none'}",
                f"longest gap   {self.gap_length_s:.2f} s without an acknowledgement, "
                f"{self.gap_start_s:.1f} s after the start",
                f"the counter   {self.initial:,} before, {self.final:,} after: {self.delta:+,}",
                f"verdict       {verdict}",
                *(f"problem       {problem}" for problem in self.problems),
            ]
        )


class Tally:
    """Written to by all workers at once."""

    def __init__(self, *, keep_history: bool = False) -> None:
        self._lock = threading.Lock()
        self._start = self._last = self._end = self._reported = time.monotonic()
        self._acknowledged = self._unknown = self._errors = self._reads = self._before = 0
        self._gap = (0.0, 0.0)
        self._per_second: list[int] = []
        self._latencies: dict[int, int] = {}
        self._problems: list[str] = []
        self._answered: dict[int, bytearray] = {}
        self._repeated = 0
        self._lowest: int | None = None
        self._highest: int | None = None
        self._history: list[Operation] | None = [] if keep_history else None

    def acknowledged(self, start: float, end: float, value: int) -> None:
        latency_class = round(math.log(max(end - start, 1e-6), HISTOGRAM_STEP))
        with self._lock:
            self._acknowledged += 1
            if end - self._last > self._gap[1]:
                self._gap = (self._last - self._start, end - self._last)
            self._last = max(self._last, end)
            second = int(end - self._start)
            while len(self._per_second) <= second:
                self._per_second.append(0)
            self._per_second[second] += 1
            self._latencies[latency_class] = self._latencies.get(latency_class, 0) + 1
            self._mark(value)
            self._keep("add", start, end, value)

    def read(self, start: float, end: float, value: int) -> None:
        with self._lock:
            self._reads += 1
            self._keep("get", start, end, value)

    def unknown(self, start: float, end: float, problem: str) -> None:
        with self._lock:
            self._unknown += 1
            self._end = max(self._end, end)
            self._note(problem)
            self._keep("add", start, end, None)

    def failed(self, problem: str) -> None:
        """Certainly not executed."""
        with self._lock:
            self._errors += 1
            self._end = time.monotonic()
            self._note(problem)

    def progress(self) -> str:
        now = time.monotonic()
        with self._lock:
            done, silent = self._acknowledged - self._before, now - self._last
            rate = done / max(now - self._reported, 1e-3)
            self._before, self._reported = self._acknowledged, now
            text = (
                f"{now - self._start:5.0f} s  {self._acknowledged:9,} acknowledged  {rate:7,.0f}/s"
            )
            if self._unknown or self._errors:
                text += f"  {self._unknown} unknown, {self._errors} errors"
            return text + (f"  no answer for {silent:.1f} s" if silent > 0.5 else "")

    def close(self, initial: int) -> Books:
        """The books, without the final value."""
        with self._lock:
            end = max(self._end, self._last)
            gap = max(self._gap, (self._last - self._start, end - self._last), key=lambda g: g[1])
            return Books(
                initial=initial,
                seconds=end - self._start,
                acknowledged=self._acknowledged,
                unknown=self._unknown,
                errors=self._errors,
                reads=self._reads,
                problems=self._problems,
                per_second=self._per_second,
                gap_start_s=gap[0],
                gap_length_s=gap[1],
                latency_ms={
                    name: self._percentile(share)
                    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
                    if self._latencies
                },
                repeated=self._repeated,
                lowest=self._lowest,
                highest=self._highest,
                history=self._history,
            )

    def _mark(self, value: int) -> None:
        block, place = divmod(value, PLACES)
        marks = self._answered.setdefault(block, bytearray(PLACES))
        self._repeated += marks[place]
        marks[place] = 1
        self._lowest = value if self._lowest is None else min(self._lowest, value)
        self._highest = value if self._highest is None else max(self._highest, value)

    def _percentile(self, share: float) -> float:
        wanted = math.ceil(share * sum(self._latencies.values()))
        for latency_class in sorted(self._latencies):
            wanted -= self._latencies[latency_class]
            if wanted <= 0:
                return round(HISTOGRAM_STEP**latency_class * 1000, 2)
        return 0.0

    def _note(self, problem: str) -> None:
        if len(self._problems) < PROBLEMS_KEPT:
            self._problems.append(problem)

    def _keep(self, kind: str, start: float, end: float, value: int | None) -> None:
        if self._history is not None:
            self._history.append((kind, start - self._start, end - self._start, value))
