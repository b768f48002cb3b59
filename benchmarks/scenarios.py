"""What is asked of each system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    connections: int = 50
    pipeline: int = 1
    keys: int = 1
    mode: str = "incr"  # incr, cas (etcd's way to increment), get, mixed, script (of a limiter)
    script: str = ""  # of mode script: name in limiter_scripts.SCRIPTS
    through: str = (
        "best"  # best: where the system wants its clients; follower; spread: all nodes in turn
    )
    nodes: int = 3
    # name of a scenario: half of the throughput that this system reached there, on a timetable
    half_rate_of: str = ""
    disturb: str = ""  # snapshot: one after the other meanwhile

    @property
    def reads(self) -> bool:
        return self.mode == "get"


ALL = (
    Scenario("c1", "1 connection", connections=1),
    Scenario("c50", "50 connections"),
    Scenario("c500", "500 connections", connections=500),
    Scenario("p16", "50 connections, pipelines of 16", pipeline=16),
    Scenario("p100", "50 connections, pipelines of 100", pipeline=100),
    Scenario("keys", "50 connections, 100,000 keys", keys=100_000),
    Scenario(
        "keys-p16", "50 connections, pipelines of 16, 100,000 keys", pipeline=16, keys=100_000
    ),
    Scenario(
        "mixed", "50 connections, 90 % reads, 1,000 keys", mode="mixed", keys=1000, through="spread"
    ),
    Scenario("get", "50 connections, linearizable reads", mode="get", keys=1000, through="spread"),
    Scenario("follower", "50 connections, through a follower", through="follower"),
    Scenario(
        "follower-p16",
        "50 connections, pipelines of 16, through a follower",
        pipeline=16,
        through="follower",
    ),
    Scenario("spread", "50 connections, over all nodes", through="spread"),
    Scenario(
        "spread-p16",
        "50 connections, pipelines of 16, over all nodes",
        pipeline=16,
        through="spread",
    ),
    Scenario("cas", "50 connections, compare-and-swap on a hot key", mode="cas"),
    Scenario(
        "fixed-window",
        "50 connections, a fixed window's script, 1,000 keys",
        mode="script",
        script="fixed window",
        keys=1_000,
    ),
    Scenario(
        "gcra",
        "50 connections, a GCRA's script, 1,000 keys",
        mode="script",
        script="gcra",
        keys=1_000,
    ),
    Scenario("half", "half of the top rate, 50 connections", half_rate_of="c50"),
    Scenario(
        "snapshot",
        "50 connections, 100,000 keys, during snapshots",
        keys=100_000,
        disturb="snapshot",
    ),
    Scenario("n1", "one node, 50 connections", nodes=1),
    Scenario("n1-p16", "one node, pipelines of 16", nodes=1, pipeline=16),
    Scenario("n5", "five nodes, 50 connections", nodes=5),
    Scenario("n5-p16", "five nodes, pipelines of 16", nodes=5, pipeline=16),
    Scenario("n1-c500", "one node, 500 connections", nodes=1, connections=500),
    Scenario(
        "n5-spread",
        "five nodes, 500 connections over all of them",
        nodes=5,
        connections=500,
        through="spread",
    ),
    Scenario(
        "n5-spread-p16",
        "five nodes, 500 connections over all, pipelines of 16",
        nodes=5,
        connections=500,
        pipeline=16,
        through="spread",
    ),
    Scenario(
        "n1-c500-p16",
        "one node, 500 connections, pipelines of 16",
        nodes=1,
        connections=500,
        pipeline=16,
    ),
)
BY_NAME = {s.name: s for s in ALL}
