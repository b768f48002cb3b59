"""Libraries that send scripts, as people have them, against real nodes, also while a leader dies:
`limits` (pinned in requirements/limiters.txt) and redis-py's lock.

What `limits` cannot do here yet: its moving window keeps a list, and its sliding window calls
RENAME when the first window is over."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.lock import Lock

from tests.support.devcluster import DevCluster

LOCKED = Path(__file__).resolve().parents[2] / "requirements" / "limiters.txt"
LIMIT, HITS, THREADS = 150, 400, 4


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The library, from its lock file."""
    target = tmp_path_factory.mktemp("limiters")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--platform", "any", "--only-binary=:all:", "--require-hashes",
         "--target", str(target), "-r", str(LOCKED)],
        check=True,
    )  # fmt: skip
    sys.path.insert(0, str(target))
    yield importlib.import_module("limits")
    sys.path.remove(str(target))


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("libraries"), 3, "--tick-ms", "30") as running:
        yield running


def storage(limits: Any, cluster: DevCluster, node: int) -> Any:
    return limits.storage.RedisStorage(f"redis://127.0.0.1:{cluster.resp_port(node)}")


def follower(cluster: DevCluster) -> int:
    return (cluster.leader() + 1) % cluster.size


def test_a_fixed_window_lets_through_exactly_its_limit_through_any_node(
    limits: Any, dying: DevCluster
) -> None:
    item = limits.RateLimitItemPerHour(10)
    windows = [
        limits.strategies.FixedWindowRateLimiter(storage(limits, dying, node))
        for node in range(dying.size)
    ]
    allowed = [windows[n % dying.size].hit(item, "alice") for n in range(14)]
    assert allowed == [True] * 10 + [False] * 4
    stats = windows[0].get_window_stats(item, "alice")
    assert stats.remaining == 0
    assert 3_590 < stats.reset_time - time.time() < 3_610
    windows[1].clear(item, "alice")
    assert windows[2].hit(item, "alice")


def test_a_sliding_window_counts_as_long_as_its_first_window_lasts(
    limits: Any, dying: DevCluster
) -> None:
    window = limits.strategies.SlidingWindowCounterRateLimiter(
        storage(limits, dying, follower(dying))
    )
    item = limits.RateLimitItemPerHour(5)
    assert [window.hit(item, "bob") for _ in range(7)] == [True] * 5 + [False] * 2


def test_what_needs_another_type_is_refused_and_does_nothing(
    limits: Any, dying: DevCluster
) -> None:
    window = limits.strategies.MovingWindowRateLimiter(storage(limits, dying, 0))
    with pytest.raises(redis.ResponseError, match="Unknown Redis command called from script"):
        window.hit(limits.RateLimitItemPerHour(5), "carol")


class Hits(threading.Thread):
    """One client of a limiter; what became of each hit."""

    def __init__(self, limiter: Any, item: Any) -> None:
        super().__init__()
        self._limiter, self._item = limiter, item
        self.allowed = self.refused = self.unknown = 0

    def run(self) -> None:
        for _ in range(HITS):
            try:
                if self._limiter.hit(self._item, "dave"):
                    self.allowed += 1
                else:
                    self.refused += 1
            except redis.RedisError:
                self.unknown += 1
                time.sleep(0.1)
            time.sleep(0.002)


def test_nobody_passes_beyond_the_limit_while_a_leader_dies(limits: Any, dying: DevCluster) -> None:
    item = limits.RateLimitItemPerHour(LIMIT)
    gateway = follower(dying)
    clients = [
        Hits(limits.strategies.FixedWindowRateLimiter(storage(limits, dying, gateway)), item)
        for _ in range(THREADS)
    ]
    for client in clients:
        client.start()
    time.sleep(0.2)
    leader = dying.leader()
    assert leader != gateway
    dying.kill_and_wait(leader)
    for client in clients:
        client.join()
    allowed, unknown = sum(c.allowed for c in clients), sum(c.unknown for c in clients)
    assert sum(c.refused for c in clients) > 0
    assert allowed <= LIMIT <= allowed + unknown


def test_a_lock_is_one_owner_s_also_after_a_leader_died(dying: DevCluster) -> None:
    """redis-py's lock deletes by a script, if the token is still its own. A token is an integer
    here, as values are."""
    with dying.client(follower(dying)) as one, dying.client(dying.leader()) as other:
        mine, theirs = Lock(one, "gate", timeout=600), Lock(other, "gate", timeout=600)
        assert mine.acquire(blocking=False, token="1001")
        assert not theirs.acquire(blocking=False, token="1002")
        dying.kill_and_wait(dying.leader())
        dying.wait_ready()
    with dying.client(0) as one, dying.client(1) as other:
        mine, theirs = Lock(one, "gate", timeout=600), Lock(other, "gate", timeout=600)
        mine.local.token, theirs.local.token = b"1001", b"1002"
        assert not theirs.acquire(blocking=False, token="1003")
        theirs.local.token = b"1002"
        with pytest.raises(redis.exceptions.LockError):
            theirs.release()
        assert mine.extend(700)
        mine.release()
        assert theirs.acquire(blocking=False, token="1004")
        theirs.release()
