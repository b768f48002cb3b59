"""The Redis cache behind real nodes: it follows, it is refilled, it can never be put back, and it
never slows a write."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from counter_node.cache.replica import CacheReplica
from counter_node.cache.script import FENCE, HEARTBEAT, SCRIPT
from countercluster_operator.credentials.certificates import leaf
from countercluster_operator.model import Cluster, Spec
from countercluster_operator.resources.cache import FILES, SOCKET, deployment

from benchmarks import cache_staleness
from tests.support.certificates import Folder, now
from tests.support.devcluster import DevCluster, free_port_range
from tests.support.publishing import Leader, eventually, publishing
from tests.support.publishing import cache as cache  # a fixture
from tests.support.redis_server import RedisServer

PROBES = ("readinessProbe", "livenessProbe")
FAST = ("--tick-ms", "50")


def until(condition: Callable[[], bool], what: str, timeout_s: float = 150) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def test_the_cache_follows_is_refilled_after_a_restart_and_survives_a_change_of_leader(
    tmp_path: Path,
) -> None:
    with (
        RedisServer(tmp_path) as cache,
        DevCluster(tmp_path / "c", 3, *FAST, "--cache", f"127.0.0.1:{cache.port}") as cluster,
    ):
        reader = cache.client()
        with cluster.client(0) as client:
            client.incrby("a", 41)
            client.incr("a")
            client.set("b", -7)
            until(lambda: reader.mget("a", "b") == [b"42", b"-7"], "values in the cache")
            client.delete("b")
            until(lambda: reader.get("b") is None, "deletion in the cache")
            cache.stop()
            start = time.monotonic()
            for _ in range(50):
                client.incr("a")
            assert time.monotonic() - start < 30, "a dead cache slows writes"
            cache.start()
            until(lambda: reader.get("a") == b"92", "refill after a restart")
            reader.set("b", 999)  # as if an older leader had written it
        cluster.kill_and_wait(cluster.leader())
        until(lambda: reader.get("b") is None, "the new leader clears what is stale")
        until(lambda: reader.get("a") == b"92", "what is not stale is there")
        until(
            lambda: cluster.status(cluster.leader())["cache"]["connected"] == 1,
            "the leader is connected",
        )
        until(lambda: reader.get(HEARTBEAT) is not None, "a heartbeat")
        heartbeat, fence = reader.mget(HEARTBEAT, FENCE)
        term, index, as_of_ms = heartbeat.split()
        status = cluster.status(cluster.leader())
        assert fence == b":".join((status["history"]["id"].encode(), term, index))
        assert time.time() - int(as_of_ms) / 1000 < 10


def test_expired_counters_leave_the_cache(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as cache,
        DevCluster(tmp_path / "c", 1, *FAST, "--cache", f"127.0.0.1:{cache.port}") as cluster,
    ):
        reader = cache.client()
        with cluster.client(0) as client:
            client.set("short", 5, px=700)
            until(lambda: reader.get("short") == b"5", "value in the cache")
            until(
                lambda: reader.get("short") is None, "expiry in the cache, without any other write"
            )
            until(lambda: client.get("short") is None, "expiry by the time of the log")


def test_a_deposed_leader_cannot_overwrite_newer_values(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        old, new = Leader(3, 100, k=10), Leader(4, 90, k=20)
        deposed, elected = (
            CacheReplica("127.0.0.1", port, old),
            CacheReplica("127.0.0.1", port, new),
        )
        try:
            await asyncio.sleep(0.5)
            for _ in range(20):
                old.index += 1
                old.counters[b"k"] = 11
                deposed.changed([b"k"])
                await asyncio.sleep(0.05)
            with redis.Redis(host="127.0.0.1", port=port) as reader:
                assert reader.get("k") == b"20"
        finally:
            await deposed.close()
            await elected.close()

    with RedisServer(tmp_path) as cache:
        asyncio.run(scenario(cache.port))


OLD, NEW, OTHER = "0" * 15 + "1", "a" * 16, "123456789012345f"


def test_a_survivor_of_a_lost_majority_publishes_although_its_numbers_are_smaller(
    cache: RedisServer,
) -> None:
    """The lost ones were elected and wrote further than the survivor ever got; and one of them may
    still write."""

    async def scenario(reader: redis.Redis) -> None:
        lost, survivor = Leader(9, 500, k=90, gone=1), Leader(4, 101, k=20)
        lost.lineage, survivor.lineage = (OLD,), (OLD, NEW)
        async with publishing(cache.port, lost) as before:
            await eventually(
                lambda: reader.get(FENCE) == f"{OLD}:9:500".encode(), "the lost ones published"
            )
            async with publishing(cache.port, survivor) as after:
                await eventually(
                    lambda: (
                        reader.mget("k", "gone", FENCE) == [b"20", None, f"{NEW}:4:101".encode()]
                    ),
                    "all is the survivor's",
                )
                before.changed(lost.set(k=91))
                await eventually(lambda: before.counts.fenced > 0, "the old history is fenced off")
                after.changed(survivor.set(k=21))
                await eventually(lambda: reader.get("k") == b"21", "the survivor goes on")

    with cache.client() as reader:
        asyncio.run(scenario(reader))


def test_another_clusters_redis_is_left_alone(cache: RedisServer) -> None:
    async def scenario(reader: redis.Redis) -> None:
        reader.mset({"k": 1, FENCE: f"{OTHER}:1:1"})
        stranger = Leader(7, 70, k=2)
        stranger.lineage = (OLD, NEW)
        async with publishing(cache.port, stranger) as replica:
            await eventually(lambda: replica.counts.fenced > 0, "it is refused")
            assert reader.mget("k", FENCE) == [b"1", f"{OTHER}:1:1".encode()]

    with cache.client() as reader:
        asyncio.run(scenario(reader))


@pytest.mark.parametrize("before", ["4:100", f"{OLD}:4:100", "not a fence", "99999999:1"])
def test_a_cluster_that_gets_a_history_goes_on_from_the_fence_it_wrote_before(
    cache: RedisServer, before: str
) -> None:
    async def scenario(reader: redis.Redis) -> None:
        reader.mset({"k": 1, FENCE: before})
        leader = Leader(4, 100, k=2)
        leader.lineage = (OLD, NEW)
        async with publishing(cache.port, leader):
            await eventually(
                lambda: reader.mget("k", FENCE) == [b"2", f"{NEW}:4:100".encode()], "it publishes"
            )

    with cache.client() as reader:
        asyncio.run(scenario(reader))


def test_the_newest_history_has_the_last_word_in_whatever_order_they_write(
    cache: RedisServer,
) -> None:
    """The script alone, with made-up writers of a line of histories in every state that a fence can
    be in: what an older history writes after a newer one is never in Redis, and what the newest
    writes always is."""
    line = [f"{n:016x}" for n in range(1, 6)]
    chance = random.Random(15)
    with cache.client() as redis_client:
        script = redis_client.register_script(SCRIPT)
        for _ in range(60):
            redis_client.flushall()
            newest, position = -1, dict.fromkeys(range(len(line)), (1, 0))
            for write in range(12):
                n = chance.randrange(len(line))
                term, index = position[n] = (
                    (chance.randint(1, 9), chance.randint(1, 99)) if n > newest else position[n]
                )
                before = "".join(f"{h}," for h in line[:n])
                answer = script(
                    keys=[FENCE, HEARTBEAT, "k"],
                    args=[term, index, "keep", "", line[n], before, write, ""],
                ).decode()
                assert (answer == "ok") == (n >= newest), f"{answer}: history {n} after {newest}"
                if answer == "ok":
                    newest = n
                    assert redis_client.mget("k", FENCE) == [
                        b"%d" % write,
                        f"{line[n]}:{term}:{index}".encode(),
                    ]


def test_a_lost_fence_is_noticed_and_everything_is_written_again(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        leader = Leader(4, 90, k=20, other=5)
        publisher = CacheReplica("127.0.0.1", port, leader)
        try:
            await eventually(lambda: publisher.connected, "connected")
            with redis.Redis(host="127.0.0.1", port=port) as reader:
                reader.flushall()  # evicted, or another process
                leader.index, leader.counters[b"k"] = 91, 21
                publisher.changed([b"k"])
                await eventually(
                    lambda: reader.mget("k", "other") == [b"21", b"5"],
                    "everything is written again",
                )
        finally:
            await publisher.close()

    with RedisServer(tmp_path) as cache:
        asyncio.run(scenario(cache.port))


def test_a_redis_that_does_not_answer_slows_no_write_and_a_cut_off_leader_claims_nothing_new(
    tmp_path: Path,
) -> None:
    with (
        RedisServer(tmp_path) as cache,
        DevCluster(tmp_path / "c", 3, *FAST, "--cache", f"127.0.0.1:{cache.port}") as cluster,
    ):
        leader = cluster.leader()
        reader = cache.client()
        with cluster.client(leader) as client:
            client.incr("a")
            until(lambda: reader.get("a") == b"1", "value in the cache")

            def slowest() -> float:
                worst = 0.0
                for _ in range(200):
                    start = time.monotonic()
                    client.incr("a")
                    worst = max(worst, time.monotonic() - start)
                return worst

            usual = slowest()
            cache.signal(signal.SIGSTOP)
            try:
                silent = slowest()
            finally:
                cache.signal(signal.SIGCONT)
            assert silent < usual + 10, (
                f"the slowest of 200 increments takes {silent:.3f} s, {usual:.3f} s while Redis "
                f"answers"
            )
            until(lambda: reader.get("a") == b"401", "all of it, once Redis answers")
            until(lambda: reader.get(HEARTBEAT) is not None, "a heartbeat")
            others = [node for node in range(3) if node != leader]
            for node in others:
                cluster.signal(node, signal.SIGSTOP)
            try:
                stopped_ms = time.time() * 1000
                time.sleep(1.0)
                assert int(reader.get(HEARTBEAT).split()[2]) <= stopped_ms + 50  # type: ignore[union-attr]
            finally:
                for node in others:
                    cluster.signal(node, signal.SIGCONT)
            until(
                lambda: int((reader.get(HEARTBEAT) or b"0 0 0").split()[2]) > stopped_ms + 1_000,
                "the time goes on",
            )


def test_the_measurement_of_staleness_measures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cache_staleness", "--seconds", "2", "--rate", "500"])
    assert cache_staleness.main() == 0
    figures = re.search(
        r"p50 ([\d.]+) ms, p99 ([\d.]+) ms, max ([\d.]+) ms", capsys.readouterr().out
    )
    assert figures is not None
    p50, p99, most = map(float, figures.groups())
    assert 0 <= p50 <= p99 <= most < 5_000
    assert most > 0


def test_the_probe_of_a_secured_redis_knocks_without_a_failed_handshake(tmp_path: Path) -> None:
    """Server and probe as the operator's Deployment has them, with TLS and users."""
    folder = Folder(tmp_path, 1)
    folder.write("tls", leaf(folder.authority.signing, folder.names("node/node-0"), now()))
    (tmp_path / "users.acl").write_text("user default on #" + "0" * 64 + " ~* &* +@all\n")
    container = deployment(Cluster("c", "ns", "uid", 1, Spec(), "image", "redis"))["spec"][
        "template"
    ]["spec"]["containers"][0]
    here = {
        FILES: str(tmp_path),
        SOCKET: str(tmp_path / "redis.sock"),
        "/tmp": str(tmp_path),
        "6379": str(free_port_range(1)),
    }

    def moved(words: list[str]) -> list[str]:
        return [here.get(word) or word.replace(f"{FILES}/", f"{tmp_path}/") for word in words]

    command = [*container["command"], *moved(container["args"])]
    probes = {part: moved(container[part]["exec"]["command"]) for part in PROBES}
    log = tmp_path / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        for probe in probes.values():
            until(
                lambda p=probe: subprocess.run(p, capture_output=True, check=False).returncode == 0,
                "the probe succeeds",
            )
            for _ in range(3):
                subprocess.run(probe, capture_output=True, check=True)
    finally:
        server.kill()
        server.wait()
    assert "Error accepting" not in log.read_text()
    assert "Ready to accept connections" in log.read_text()
    assert all(
        subprocess.run(probe, capture_output=True, check=False).returncode
        for probe in probes.values()
    ), "a dead one is reported"


def test_the_status_says_why_values_do_not_reach_redis(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as cache,
        DevCluster(tmp_path / "c", 1, *FAST, "--cache", f"127.0.0.1:{cache.port}") as cluster,
    ):
        until(lambda: cluster.status(0)["cache"]["connected"] == 1, "it is reached")
        assert cluster.status(0)["cache"] | {"publishedIndex": 0} == {
            "configured": True, "connected": 1, "publishedIndex": 0, "known": 1, "error": "",
        }  # fmt: skip
        with cache.client() as client:
            client.config_set("requirepass", "word")
            client.client_kill_filter(skipme=False, _type="normal")
        until(lambda: "uthentic" in cluster.status(0)["cache"]["error"], "the cause is reported")
        found = cluster.status(0)["cache"]
        assert found["error"].startswith(f"127.0.0.1:{cache.port}: ")
        assert (found["connected"], found["known"]) == (0, 1)
        with redis.Redis(port=cache.port, password="word") as client:
            client.config_set("requirepass", "")
        until(lambda: cluster.status(0)["cache"]["error"] == "", "it is reached again")
