"""Two operators, one Lease: whatever happens to either, never two that act, and in the end what the
spec says.

Who acted is in the API server's audit log: each operator has an account of its own.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.apiserver.world import World, world
from tests.support.api_requests import Request
from tests.support.operators import Operator

TAKEN_OVER_S = 30.0
"""The Lease is free after 15 s of silence and tried for every 2 s."""
STANDS_BY = "is lost: standing by"
SYSTEM_LEASE = (
    "/apis/coordination.k8s.io/v1/namespaces/countercluster-system/leases/countercluster-operator"
)


pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as found:
        found.server.namespace("n")
        yield found


class Editor:
    """Never lets the operators rest: the number of replicas changes all the time."""

    def __init__(self, here: World) -> None:
        self._here, self._stop = here, threading.Event()
        self._thread = threading.Thread(target=self._edit)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _edit(self) -> None:
        for turn in range(10_000):
            if self._stop.wait(0.7):
                return
            self._here.server.merge(
                f"{self._here.path('n', 'clicks')}/scale",
                {"spec": {"replicas": (3, 1, 4, 2)[turn % 4]}},
            ).ok()


def turns(writes: list[Request]) -> list[str]:
    """Who acted, one after the other: by when the API server began with a request."""
    found: list[str] = []
    for request in sorted(writes, key=lambda r: r.begin):
        if not found or found[-1] != request.user:
            found.append(request.user)
    return found


def leader(here: World) -> str:
    """Empty while nobody does."""
    answer = here.server.request("GET", SYSTEM_LEASE)
    return str(answer.body["spec"].get("holderIdentity", "")) if answer.status == 200 else ""


def test_the_second_takes_over_from_a_killed_first_and_the_first_comes_back_as_second(
    here: World,
) -> None:
    with here.operator("operator-0") as first, here.operator("operator-1") as second:
        here.wait("one leads", lambda: bool(leader(here)))
        if leader(here) != first.name:
            first, second = second, first
        here.cluster("n", "clicks")
        here.wait_ready("n", "clicks")
        assert turns(here.writes()) == [first.name]
        assert second.page("/readyz")[0] == 200
        assert second.metric("countercluster_operator_leading") == 0
        with Editor(here):
            time.sleep(2)
            first.kill()
            here.wait("the second leads", lambda: leader(here) == second.name, TAKEN_OVER_S)
            first.start()
            time.sleep(6)
        here.edit("n", "clicks", replicas=3)
        here.wait_ready("n", "clicks")
        assert turns(here.writes()) == [first.name, second.name]
        assert second.page("/healthz")[0] == first.page("/healthz")[0] == 200


def test_a_stopped_operator_that_goes_on_has_lost_the_lease_and_writes_nothing(here: World) -> None:
    with here.operator("operator-0") as first:
        first.wait_for("leading")
        with here.operator("operator-1") as second:
            here.cluster("n", "clicks")
            here.wait_ready("n", "clicks")
            with Editor(here):
                time.sleep(3)
                first.signal(signal.SIGSTOP)
                here.wait("the second leads", lambda: leader(here) == second.name, TAKEN_OVER_S)
                time.sleep(3)
                first.signal(signal.SIGCONT)
                first.wait_for(STANDS_BY, 20)
                time.sleep(3)
            assert first.running
            assert first.metric("countercluster_operator_leading") == 0
            assert turns(here.writes()) == [first.name, second.name]
            here.edit("n", "clicks", replicas=3)
            here.wait_ready("n", "clicks")


def test_an_ending_operator_hands_over_at_once(here: World) -> None:
    with here.operator("operator-0") as first:
        first.wait_for("leading")
        with here.operator("operator-1") as second:
            here.cluster("n", "clicks")
            here.wait_ready("n", "clicks")
            with Editor(here):
                time.sleep(2)
                start = time.monotonic()
                assert first.end() == 0
                here.wait("the second leads", lambda: leader(here) == second.name)
                assert time.monotonic() - start < 12, "it need not wait for the Lease to run out"
                time.sleep(3)
            assert turns(here.writes()) == [first.name, second.name]


def test_who_loses_the_lease_in_the_middle_of_a_pass_stands_by_and_begins_again(
    here: World,
) -> None:
    """Somebody else's name appears in the Lease while the operator is at work."""
    with here.operator("operator-0") as only:
        only.wait_for("leading")
        here.cluster("n", "clicks")
        with Editor(here):
            time.sleep(2)
            taken = {
                "spec": {
                    "holderIdentity": "somebody",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-01-01T00:00:00.000000Z",
                }
            }
            here.server.merge(SYSTEM_LEASE, taken).ok()
            only.wait_for(STANDS_BY, 20)
            only.wait_for("leading", TAKEN_OVER_S, count=2)
        here.edit("n", "clicks", replicas=3)
        here.wait_ready("n", "clicks")


def test_an_api_server_that_does_not_answer_ends_the_leadership_in_time(here: World) -> None:
    with here.operator("operator-0") as only:
        only.wait_for("leading")
        pid, start = here.server.pid("kube-apiserver"), time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            only.wait_for(STANDS_BY, 20)
            assert time.monotonic() - start < 15, "before anybody else may have the Lease"
            time.sleep(20)
        finally:
            os.kill(pid, signal.SIGCONT)
        only.wait_for("leading", TAKEN_OVER_S, count=2)
        assert only.running, "Kubernetes would start it ever more rarely"
        here.cluster("n", "clicks")
        here.wait_ready("n", "clicks")


SEED = 20261123


def test_whatever_happens_to_two_operators_never_two_act_and_the_end_is_the_same(
    here: World,
) -> None:
    """Both are killed, stopped and ended at random while the spec changes; the children are those
    of an undisturbed run."""
    dice = random.Random(SEED)
    operators = [here.operator("operator-0"), here.operator("operator-1")]
    here.cluster("n", "clicks")
    for operator in operators:
        operator.start()
    try:
        begin = time.monotonic()
        with Editor(here):
            # On a busy machine a start takes long: it goes on until the work has changed hands.
            while (passed_s := time.monotonic() - begin) < 80 or (
                passed_s < 200 and len(turns(here.writes())) < 3
            ):
                time.sleep(dice.uniform(0.2, 4))
                _disturb(
                    dice.choice([*operators, *(o for o in operators if o.name == leader(here))]),
                    dice,
                )
        for operator in operators:
            _revive(operator)
        here.edit("n", "clicks", replicas=3)
        here.wait_ready("n", "clicks", 90)
        found = here.children("n")
    finally:
        for operator in operators:
            operator.kill()
    assert len(here.members("n", "clicks")) == 3
    assert len(turns(here.writes())) > 2, "it changed hands"
    assert not strays(here.server.requests())
    here.cluster("n", "plain")
    with here.operator("operator-0"):
        here.wait_ready("n", "plain", 60)
    plain = {k: v for k, v in here.children("n").items() if k not in found}
    assert _renamed(found, "clicks") == _renamed(plain, "plain")


def _disturb(operator: Operator, dice: random.Random) -> None:
    what: list[Callable[[], object]] = [
        operator.kill,
        operator.end,
        lambda: operator.signal(signal.SIGSTOP),
    ]
    if operator.running:
        dice.choices(what, weights=(3, 1, 2))[0]()
    time.sleep(dice.choice((0.0, 1.0, 18.0)))  # 18 s: the other one has the Lease meanwhile
    _revive(operator)


def _revive(operator: Operator) -> None:
    if operator.running:
        operator.signal(signal.SIGCONT)
    if not operator.running:
        operator.start()


def strays(requests: list[Request]) -> list[Request]:
    """Writes of an operator that was not the last one to write the Lease."""
    found, holder = [], ""
    for request in sorted(requests, key=lambda r: r.end if r.resource == "leases" else r.begin):
        if request.resource == "leases":
            holder = request.user if request.writes and request.status < 300 else holder
        elif request.writes and request.user != holder:
            found.append(request)
    return found


def _renamed(children: dict[tuple[str, str], dict[str, object]], name: str) -> dict[str, str]:
    return {
        f"{kind} {child.replace(name, 'NAME')}": str(content).replace(name, "NAME")
        for (kind, child), content in children.items()
    }
