"""Clients of clusters, where answers come later than they wait for, and where the leader is cut
off.

Each repetition of a late increment counts again, unless the client is set to repeat nothing. A
leader that is cut off answers its clients still: they must find the new one. What they do is a
table in docs/reference/clients.md, with the plain port beside it. `--rewrite` writes it again, with
the clients' own time-outs; else some shorter ones do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.clients.late import GOOD, NAMES, WORKERS, Pool, Slow, wait_answers
from tests.clients.stock.build import ToolMissing
from tests.faults.cluster import FaultyCluster
from tests.support.devcluster import ROOT, DevCluster
from tests.support.slow_replies import SlowReplies

PAGE = ROOT / "docs/reference/clients.md"
DELAY_S, TIMEOUT_MS = 4.0, 2_000
OWN_DELAY_S, OWN_TIMEOUT = 6.0, 0
END_S = 240.0
MOVED = 30
"""So many answers from the new leader are enough."""


@dataclass(frozen=True)
class Row:
    """What is known of a client; the rest of its row is measured."""

    kind: str  # of the cluster port
    waits: str
    plain: str  # the remedy there, as the program takes it
    cluster: str
    shown: str
    repeats: tuple[bool, bool] = (True, True)  # by default: on the plain port, on the cluster port
    slow: bool = True  # whether it is tried without `--rewrite` with late answers


ROWS = {
    "redis-py": Row(
        "RedisCluster", "5 s", "retry", "retry", "`retry=Retry(NoBackoff(), 0)` on both"
    ),
    "redis-py (asyncio)": Row(
        "RedisCluster", "5 s", "retry", "retry", "`retry=Retry(NoBackoff(), 0)` on both"
    ),
    "go-redis": Row(
        "ClusterClient",
        "3 s; 5 s",
        "MaxRetries",
        "MaxRetries MaxRedirects",
        "plain: `MaxRetries: -1`; cluster: **`MaxRedirects: -1` as well**",
    ),
    "ioredis": Row("Cluster", "for ever", "", "", "nothing; it waits", (False, False), slow=False),
    "node-redis": Row(
        "createCluster", "for ever", "", "", "nothing; it waits", (False, False), slow=False
    ),
    "Jedis": Row(
        "RedisClusterClient",
        "2 s",
        "",
        "maxAttempts",
        "plain: nothing; cluster: `maxAttempts(1)`",
        (False, True),
    ),
    "Lettuce": Row("RedisClusterClient", "60 s", "", "", "nothing; it waits", (False, False)),
}
Case = tuple[str, str, str]
"""Client, port, remedy."""
DEFAULTS: list[Case] = [(name, where, "") for name in ROWS for where in ("plain", "cluster")]
ONCE: list[Case] = [
    (name, where, getattr(row, where))
    for name, row in ROWS.items()
    for where in ("plain", "cluster")
]
MORE: list[Case] = [
    *(
        (name, where, "")
        for name, row in ROWS.items()
        for where, again in zip(("plain", "cluster"), row.repeats, strict=True)
        if again
    ),
    ("go-redis", "cluster", "MaxRetries"),
]
Late = tuple[int, dict[str, int]] | str
"""What the counter grew by and what the client reported; or why it was not tried."""


def tried(case: Case, *, own: bool) -> bool:
    """redis-py repeats for minutes, and what waits for ever has nothing to be shortened."""
    return own or (ROWS[case[0]].slow and not (case[0].startswith("redis-py") and not case[2]))


@pytest.fixture(scope="module")
def counted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, Late]]:
    """All at once, as each mostly waits."""
    own = bool(request.config.getoption("--rewrite"))
    delay_s, timeout_ms = (OWN_DELAY_S, OWN_TIMEOUT) if own else (DELAY_S, TIMEOUT_MS)
    found: dict[Case, Late] = {}
    going: dict[Case, Slow] = {}
    with (
        DevCluster(tmp_path_factory.mktemp("slow") / "nodes", 1, cluster_mode=True) as cluster,
        contextlib.ExitStack() as stack,
    ):
        ports = {"plain": cluster.resp_port(0), "cluster": cluster.cluster_port(0)}
        proxies = {
            where: stack.enter_context(SlowReplies(port, delay_s)) for where, port in ports.items()
        }
        for case in dict.fromkeys((*ONCE, *MORE, *DEFAULTS)):
            client, where, remedy = case
            if not tried(case, own=own):
                found[case] = "only with --rewrite: it takes long, or has nothing to be shortened"
                continue
            try:
                going[case] = Slow(
                    client, where, proxies[where].port, "-".join(case), timeout_ms, remedy
                )
            except ToolMissing as error:
                found[case] = str(error)
                continue
            stack.callback(going[case].end)
        for case, program in going.items():
            outcome = program.outcome(END_S)
            with cluster.client(0) as reader:
                found[case] = int(reader.get("-".join(case)) or 0), outcome
        yield found


@pytest.mark.parametrize("case", ONCE, ids=" ".join)
def test_a_client_that_is_set_to_repeat_nothing_counts_each_increment_once(
    counted: dict[Case, Late], case: Case, request: pytest.FixtureRequest
) -> None:
    found = counted[case]
    if isinstance(found, str):
        pytest.skip(found)
    assert found[0] <= WORKERS, found
    if not request.config.getoption("--rewrite"):
        assert GOOD not in found[1], "an answer that came too late was taken for one"


@pytest.mark.parametrize("case", MORE, ids=" ".join)
def test_without_its_remedy_it_counts_more(counted: dict[Case, Late], case: Case) -> None:
    """`MaxRetries: -1` is no remedy on the cluster port."""
    found = counted[case]
    if isinstance(found, str):
        pytest.skip(found)
    assert found[0] > WORKERS, found


# --- a leader that is cut off ---------------------------------------------------------------------

CUT: list[tuple[str, str]] = [
    *((name, "") for name in ROWS),
    ("go-redis", "MaxRetries MaxRedirects"),
    ("Jedis", "maxAttempts"),
]
"""With their defaults, and those whose remedy keeps them from following MOVED at once."""
Moved = dict[tuple[str, str], Pool | str]


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """All of them count by a leader, which then hears no other node, and none hears it; it stays so
    until all have moved, or time is up."""
    found: Moved = {}
    options = ("--tick-ms", "50", "--unready-close-s", "2")
    with (
        FaultyCluster(
            tmp_path_factory.mktemp("cut") / "nodes", 3, *options, cluster_mode=True
        ) as cluster,
        contextlib.ExitStack() as stack,
    ):
        ports = [cluster.nodes.cluster_port(node) for node in range(cluster.size)]
        for client, remedy in CUT:
            try:
                pool = found[client, remedy] = Pool(
                    client, ports, f"moved-{client}-{remedy}", remedy
                )
            except ToolMissing as error:
                found[client, remedy] = str(error)
            else:
                stack.callback(pool.end)
        going = [pool for pool in found.values() if isinstance(pool, Pool)]
        assert not wait_answers(going, 0.0, MOVED, END_S), "not all of them count"
        leader = cluster.nodes.leader()
        others = [node for node in range(cluster.size) if node != leader]
        cluster.cut(
            {(leader, o) for o in others} | {(o, leader) for o in others},
            False,
            "the leader is cut off",
        )
        while cluster.nodes.status(leader)["role"] == "leader" or cluster.leader() in (
            leader,
            None,
        ):
            time.sleep(0.05)
        stayed = wait_answers(going, time.time(), MOVED, END_S)
        for pool in going:
            pool.moved = pool not in stayed
        yield found


@pytest.mark.parametrize("case", CUT, ids=" ".join)
def test_a_client_leaves_a_leader_that_is_cut_off(moved: Moved, case: tuple[str, str]) -> None:
    """go-redis, Jedis and Lettuce did not in 30 s, when it answered CLUSTERDOWN and closed their
    connections."""
    pool = moved[case]
    if isinstance(pool, str):
        pytest.skip(pool)
    assert pool.moved, f"{case} stayed with it: {pool.errors}"


# --- the page -------------------------------------------------------------------------------------

BEGIN, END = (
    "<!-- begin: written by tests/clients/test_cluster_clients.py --rewrite -->",
    "<!-- end: late answers -->",
)
HEAD = (
    "| client | waits for | plain port | cluster port | to count each at most once | leader "
    "cut off (cluster port) |"
)


def cell(late: Late) -> str:
    return str(late[0]) if not isinstance(late, str) else "-"


def row(name: str, counted: dict[Case, Late], moved: Moved) -> str:
    known, pool = ROWS[name], moved[name, ""]
    assert isinstance(pool, Pool)
    outcome = (
        ", ".join(f"{count} times `{word}`" for word, count in sorted(pool.errors.items()))
        or "no error"
    )
    once = ", ".join(
        dict.fromkeys(
            cell(counted[name, where, getattr(known, where)]) for where in ("plain", "cluster")
        )
    )
    cells = [
        name,
        known.waits,
        cell(counted[name, "plain", ""]),
        f"{cell(counted[name, 'cluster', ''])} (`{known.kind}`)",
    ]
    return (
        "| "
        + " | ".join(
            [*cells, f"{known.shown}: {once}", f"silent for {pool.silent_s():.1f} s; {outcome}"]
        )
        + " |"
    )


def test_the_page_of_cluster_clients_is_current(
    counted: dict[Case, Late], moved: Moved, request: pytest.FixtureRequest
) -> None:
    """Clients, how long they wait, and remedies; the rest is another each time."""
    assert set(NAMES) == set(ROWS)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    if request.config.getoption("--rewrite"):
        lines = [
            BEGIN,
            HEAD,
            "|" + "---|" * HEAD.count(" | ") + "---|",
            *(row(name, counted, moved) for name in ROWS),
            END,
        ]
        PAGE.write_text(before + "\n".join(lines) + after)
        return
    written = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    known = [[name, of.waits, of.kind, of.shown] for name, of in ROWS.items()]
    shown = [
        [cells[0], cells[1], cells[3].partition("(`")[2].rstrip("`)"), cells[4].rpartition(": ")[0]]
        for cells in written
    ]
    assert shown == known, "docs/reference/clients.md is stale: run this test with --rewrite"
