"""Client libraries of several languages with their defaults, all at once against one cluster that
first loses their answers on the way and then its leader, while they count.

They are connected through a proxy that stands for the Service of a cluster: to the leader, and
after its death to a node that lives. Each runs twice: with its defaults, and set to repeat nothing
by itself (`once`). What they tell is the table in docs/reference/clients.md; `--rewrite` writes it
again. Clients whose tool chain is not on this machine are skipped, each with the reason."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.clients.stock.build import CLIENTS, Client, ToolMissing
from tests.support.devcluster import ROOT, DevCluster
from tests.support.proxy import Proxy

PAGE = ROOT / "docs/reference/clients.md"
MODES = ("default", "once")
CHECKS = ("defaults", "RESP2", "RESP3", "pipeline", "MULTI", "WATCH", "errors", "SCAN")
ENDS = ("redis-cli",)
"""What ends at a lost connection."""
GIVE_UP_S, END_S = 150.0, 30.0
AFTER_THE_LOSS_S = 2.0
WORKERS = 4
AT_ONCE = 4
"""Programs that start and make their checks. The others wait, else they cost each other the
time-outs that they have by default."""
BACK = 20
"""So many increments after the death of its node show that a client is back."""
MOST_REPETITIONS = 12
"""redis-py sends a command up to eleven times."""

SETTINGS = {
    "redis-cli": "nothing: it ends with the error",
    "redis-py": "`retry=Retry(NoBackoff(), 0)`, or the library `countercluster`",
    "redis-py (asyncio)": "`retry=Retry(NoBackoff(), 0)`, or the library `countercluster`",
    "go-redis": "`MaxRetries: -1`",
    "ioredis": "`autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0`",
    "node-redis": "`disableOfflineQueue: true`",
    "Jedis": "nothing: it repeats nothing",
    "Lettuce": "`replayFilter(command -> true)` and a short `timeout`",
}


@dataclass
class Outcome:
    """What one program printed."""

    basics: dict[str, str] = field(default_factory=dict)
    counting: dict[str, Any] = field(default_factory=dict)
    final: int = 0
    acknowledged_before_the_kill: int = 0

    @property
    def unacknowledged(self) -> int:
        return self.final - int(self.counting["acknowledged"])

    @property
    def errors(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for text, count in self.counting["errors"].items():
            plain = re.sub(r"127\.0\.0\.1:\d+(->127\.0\.0\.1:\d+)?", "ADDRESS", text)
            found[plain] = found.get(plain, 0) + count
        return found


class Run:
    def __init__(self, client: Client, mode: str, port: int) -> None:
        self.name = client.name
        self.key = f"stock:{client.name}:{mode}"
        self.outcome = Outcome()
        self.checked, self.counting = threading.Event(), threading.Event()
        command = [*client.command(), str(port), self.key, *(["once"] if mode == "once" else [])]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.noise = ""
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # not JSON: the test sees that something is missing
            self.outcome.basics = json.loads(self.process.stdout.readline())
            self.checked.set()
            for line in self.process.stdout:
                if line.strip() == "counting":
                    self.counting.set()
                else:
                    self.outcome.counting = json.loads(line)
        self.checked.set()
        self.counting.set()  # in any case: nobody shall wait for it any more

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.noise = (self.noise + line)[-4_000:]

    def count(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self) -> None:
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for thread in self._threads:
            thread.join(5)


def started(port: int) -> Iterator[tuple[str, str, Run | str]]:
    """Each client in each mode, a few at a time, its checks made; or why there is none."""
    starting: list[Run] = []
    for client, mode in itertools.product(CLIENTS, MODES):
        try:
            run = Run(client, mode, port)
        except ToolMissing as error:
            yield client.name, mode, str(error)
            continue
        yield client.name, mode, run
        starting.append(run)
        if len(starting) == AT_ONCE:
            starting.pop(0).checked.wait(GIVE_UP_S)
    for run in starting:
        run.checked.wait(GIVE_UP_S)


def wait_back(cluster: DevCluster, node: int, going: list[Run]) -> None:
    """Until each client counts again, by what that node reads."""
    end = time.monotonic() + GIVE_UP_S
    left = list(going)
    while left and time.monotonic() < end:
        left = [
            run
            for run in left
            if int(cluster.read(node, run.key) or 0)
            <= run.outcome.acknowledged_before_the_kill + BACK
        ]
        time.sleep(0.1)


@pytest.fixture(scope="module")
def runs(cluster: DevCluster) -> Iterator[dict[tuple[str, str], Run | str]]:
    """Of each client and mode, or why there is none."""
    cluster.wait_ready()
    leader = cluster.leader()
    ports = [cluster.resp_port((leader + n) % cluster.size) for n in range(cluster.size)]
    found: dict[tuple[str, str], Run | str] = {}
    with Proxy(lambda: list(ports)) as service:
        try:
            for name, mode, one in started(service.port):
                found[name, mode] = one
            going = [run for run in found.values() if isinstance(run, Run)]
            for run in going:
                run.count()
            for run in going:
                assert run.counting.wait(GIVE_UP_S), (
                    f"{run.key} does not count: {run.outcome.basics} {run.noise}"
                )
            service.lose_replies()
            time.sleep(AFTER_THE_LOSS_S)
            survivor = (leader + 1) % cluster.size
            # A Service sends to nodes that are ready: what is started again is not, for some time.
            del ports[0]
            cluster.signal(leader, signal.SIGKILL)
            for run in going:
                run.outcome.acknowledged_before_the_kill = int(cluster.read(survivor, run.key) or 0)
            wait_back(cluster, survivor, [run for run in going if run.name not in ENDS])
        finally:
            programs = [run for run in found.values() if isinstance(run, Run)]
            for run in programs:
                run.stop()
            for run in programs:
                run.end()
        cluster.wait_ready()
        for run in found.values():
            if isinstance(run, Run):
                run.outcome.final = int(cluster.read(0, run.key) or 0)
        yield found


@pytest.fixture
def outcome(runs: dict[tuple[str, str], Run | str], client: Client, mode: str) -> Outcome:
    run = runs[client.name, mode]
    if isinstance(run, str):
        pytest.skip(run)
    assert run.outcome.counting, (
        f"{client.name} did not come to its end: {run.outcome.basics} {run.noise}"
    )
    return run.outcome


EACH_CLIENT = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@EACH_CLIENT
@pytest.mark.parametrize("mode", ["default"])
def test_all_that_is_checked_works(outcome: Outcome, client: Client) -> None:
    assert {name: outcome.basics.get(name) for name in CHECKS} == dict.fromkeys(CHECKS, "ok")


@EACH_CLIENT
@pytest.mark.parametrize("mode", MODES)
def test_nothing_acknowledged_is_lost_and_the_client_goes_on_after_the_death_of_its_node(
    outcome: Outcome, client: Client
) -> None:
    acknowledged = outcome.counting["acknowledged"]
    assert acknowledged <= outcome.final, "an acknowledged increment was lost"
    assert client.name in ENDS or outcome.final > outcome.acknowledged_before_the_kill + BACK, (
        f"the client did not come back: {outcome.counting}"
    )
    assert outcome.unacknowledged <= WORKERS * MOST_REPETITIONS


@EACH_CLIENT
@pytest.mark.parametrize("mode", ["once"])
def test_a_client_that_repeats_nothing_counts_no_more_than_it_tells(
    outcome: Outcome, client: Client
) -> None:
    """What was not acknowledged was reported as an error, or was still on its way at the end."""
    assert outcome.unacknowledged <= sum(outcome.errors.values()) + WORKERS, outcome.counting


# --- the page -------------------------------------------------------------------------------------

BEGIN, END = (
    "<!-- begin: written by tests/clients/test_stock_programs.py --rewrite -->",
    "<!-- end -->",
)
HEAD = (
    "| client | version | speaks | works | by default it tells | and counts twice | to repeat "
    "nothing |"
)


def row(client: Client, found: dict[str, Outcome]) -> str:
    default = found["default"]
    works = [name for name in CHECKS[3:] if default.basics.get(name) == "ok"]
    twice = max(0, default.unacknowledged - sum(default.errors.values()))
    cells = [
        client.name,
        client.version,
        default.basics["protocol"],
        ", ".join(works),
        seen(default),
        str(twice),
        SETTINGS[client.name],
    ]
    return "| " + " | ".join(cells) + " |"


def seen(outcome: Outcome) -> str:
    errors = (
        "; ".join(f"{count} times `{text[:60]}`" for text, count in sorted(outcome.errors.items()))
        or "no error"
    )
    return f"{errors}; silent for {outcome.counting['gap_ms'] / 1000:.1f} s"


def test_the_page_of_the_clients_is_current(
    runs: dict[tuple[str, str], Run | str], request: pytest.FixtureRequest
) -> None:
    """Clients, versions, protocols and what works; what one failover showed is another each
    time."""
    missing = [reason for reason in runs.values() if isinstance(reason, str)]
    if missing:
        pytest.skip(missing[0])
    rows = []
    for client in CLIENTS:
        of_client = {
            mode: run.outcome for mode in MODES if isinstance(run := runs[client.name, mode], Run)
        }
        assert all(outcome.counting for outcome in of_client.values()), (
            f"{client.name} did not come to its end"
        )
        rows.append(row(client, of_client))
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    if request.config.getoption("--rewrite"):
        lines = [BEGIN, HEAD, "|" + "---|" * HEAD.count(" | ") + "---|", *rows, END]
        PAGE.write_text(before + "\n".join(lines) + after)
        return
    written = [line.split(" | ") for line in table.strip().splitlines()]
    assert [cells[:4] + cells[-1:] for cells in written[2:]] == [
        line.split(" | ")[:4] + line.split(" | ")[-1:] for line in rows
    ], "docs/reference/clients.md is stale: run this test with --rewrite"
