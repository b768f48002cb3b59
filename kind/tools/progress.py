"""Steps that depend on each other, run side by side where they use different things, with a line
for each that lasts."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

REPORT_EVERY_S = 15.0


class Lane(Enum):
    """What a step mostly waits for. Two steps of the same lane never run together: the second would
    only slow the first."""

    CPU = "processor"
    NETWORK = "network"
    ENGINE = "engine"


@dataclass(frozen=True)
class Step:
    """One piece of work. `seconds` is what it took on 2 cores when measured; `done` must be quick
    and free of effects."""

    name: str
    lane: Lane
    seconds: int
    make: Callable[[], None]
    done: Callable[[], bool]
    needs: tuple[str, ...] = ()


def remaining(steps: Iterable[Step]) -> list[Step]:
    """The steps that are not done, in their given order."""
    return [step for step in steps if not step.done()]


def estimate_s(steps: Sequence[Step]) -> int:
    """Seconds until all are done: the longest chain, or the busiest lane if that is longer."""
    finish: dict[str, int] = {}
    lanes: dict[Lane, int] = dict.fromkeys(Lane, 0)
    for step in in_order(steps):
        start = max([lanes[step.lane], *(finish[n] for n in step.needs if n in finish)])
        finish[step.name] = lanes[step.lane] = start + step.seconds
    return max(finish.values(), default=0)


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps, each after those that it needs. Needs outside the list count as met. Raises
    ValueError on a circle."""
    names = {step.name for step in steps}
    placed: dict[str, Step] = {}
    while len(placed) < len(steps):
        ready = [
            s
            for s in steps
            if s.name not in placed and all(n in placed or n not in names for n in s.needs)
        ]
        if not ready:
            raise ValueError(f"steps wait for each other: {sorted(names - placed.keys())}")
        placed.update((step.name, step) for step in ready)
    return list(placed.values())


def run_all(steps: Sequence[Step]) -> None:
    """Runs the steps, at most one per lane. The first failure is raised once the running ones have
    ended."""
    in_order(steps)
    waiting = {step.name: step for step in steps}
    running: dict[concurrent.futures.Future[None], Step] = {}
    failure: BaseException | None = None
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(Lane)) as pool:
        while running or (waiting and not failure):
            if not failure:
                for step in _startable(waiting, running.values()):
                    del waiting[step.name]
                    running[pool.submit(perform, step)] = step
            ended, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                del running[future]
                failure = failure or future.exception()
    if failure:
        raise failure


def _startable(waiting: Mapping[str, Step], running: Iterable[Step]) -> list[Step]:
    active = list(running)
    busy = {step.lane for step in active}
    unmet = waiting.keys() | {step.name for step in active}
    chosen: list[Step] = []
    for step in waiting.values():
        if step.lane not in busy and not any(n in unmet for n in step.needs):
            busy.add(step.lane)
            chosen.append(step)
    return chosen


def perform(step: Step) -> None:
    """Runs one step, saying when it starts and ends, and every few seconds in between that it still
    goes on."""
    started = time.monotonic()
    ended = threading.Event()
    usual = f" (usually {spoken(step.seconds)})" if step.seconds >= 5 else ""
    say(f"-> {step.name}{usual}")

    def report() -> None:
        while not ended.wait(REPORT_EVERY_S):
            say(
                f"   {step.name}: {spoken(time.monotonic() - started)} of usually "
                f"{spoken(step.seconds)}"
            )

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        step.make()
    except BaseException:
        say(f"!! {step.name}: failed after {spoken(time.monotonic() - started)}")
        raise
    finally:
        ended.set()
        reporter.join()
    say(f"ok {step.name}: {spoken(time.monotonic() - started)}")


def say(line: str) -> None:
    """One line on stderr; stdout carries only what a caller may want to read."""
    print(line, file=sys.stderr, flush=True)


def spoken(seconds: float) -> str:
    """A duration as a person says it: 7.4 s, 1 min 32 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
