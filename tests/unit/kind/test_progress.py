"""The plan's runner: needs come first, lanes are not shared, the first failure stops what has not
begun."""

from __future__ import annotations

import threading
import time

import pytest

from kind.tools.progress import Lane, Step, estimate_s, in_order, remaining, run_all, spoken


def step(
    name: str, lane: Lane = Lane.CPU, seconds: int = 1, needs: tuple[str, ...] = (), **given: object
) -> Step:
    make = given.get("make", lambda: None)
    return Step(name, lane, seconds, make, lambda: bool(given.get("done")), needs)  # type: ignore[arg-type]


def test_a_step_runs_after_all_that_it_needs() -> None:
    order: list[str] = []
    run_all(
        [
            step(
                "load", Lane.ENGINE, needs=("cluster", "images"), make=lambda: order.append("load")
            ),
            step("cluster", Lane.ENGINE, needs=("kind",), make=lambda: order.append("cluster")),
            step("images", Lane.NETWORK, make=lambda: order.append("images")),
            step("kind", Lane.CPU, make=lambda: order.append("kind")),
        ]
    )
    assert order[-1] == "load"
    assert order.index("kind") < order.index("cluster")


def test_steps_of_one_lane_never_run_together_and_those_of_two_do() -> None:
    both_lanes = threading.Barrier(2, timeout=5)
    inside: set[Lane] = set()

    def work(lane: Lane, meet: bool) -> None:
        assert lane not in inside
        inside.add(lane)
        if meet:
            both_lanes.wait()
        time.sleep(0.01)
        inside.remove(lane)

    run_all(
        [
            step("a", Lane.CPU, make=lambda: work(Lane.CPU, True)),
            step("b", Lane.CPU, make=lambda: work(Lane.CPU, False)),
            step("c", Lane.NETWORK, make=lambda: work(Lane.NETWORK, True)),
        ]
    )


def test_a_failure_is_raised_and_what_needs_the_failed_step_does_not_begin() -> None:
    def fail() -> None:
        raise RuntimeError("no space")

    begun: list[str] = []
    with pytest.raises(RuntimeError, match="no space"):
        run_all(
            [
                step("kube", make=fail),
                step("image", needs=("kube",), make=lambda: begun.append("image")),
            ]
        )
    assert begun == []


def test_done_steps_are_left_out_and_needs_on_them_count_as_met() -> None:
    todo = remaining([step("kube", done=True), step("image", needs=("kube",))])
    assert [s.name for s in todo] == ["image"]
    run_all(todo)


def test_steps_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        in_order([step("a", needs=("b",)), step("b", needs=("a",))])


def test_the_estimate_counts_parallel_lanes_once() -> None:
    steps = [
        step("kube", Lane.CPU, 600),
        step("debian", Lane.NETWORK, 90),
        step("image", Lane.ENGINE, 40, needs=("kube", "debian")),
    ]
    assert estimate_s(steps) == 640
    assert estimate_s([]) == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (42.3, "42 s"), (92, "1 min 32 s")]
)
def test_durations_are_said_as_a_person_would(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
