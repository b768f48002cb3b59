"""A running cluster is archived while its leaders and its uploaders are killed; then everything is
lost, and what was acknowledged comes back."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
import redis
from counter_node.archive.node_source import NodeSource, SourceError, connect
from counter_node.archive.reader import Reader
from counter_node.archive.restore import restore
from counter_node.archive.rules.restoring import Newest
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.service import Service
from counter_node.archive.verify import verify
from counter_node.embedded import RaftNode
from counter_node.ports import free_ports

from tests.support.archive_store import MemoryStore
from tests.support.certificates import Folder
from tests.support.devcluster import DevCluster
from tests.support.s3_server import S3Server

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("ARCHIVE_KILLS", "5"))
INTERVAL_S = 1.0


class UploaderProcess:
    """`python -m counter_node.archive run` for one node of a devcluster."""

    def __init__(self, cluster: DevCluster, server: S3Server, node: int, folder: Path) -> None:
        self.status_file = folder / f"status-{node}.json"
        self.log = folder / f"uploader-{node}.log"
        self._command = [
            *(sys.executable, "-m", "counter_node.archive", "run", *server.options("live")),
            *("--node", f"127.0.0.1:{cluster.ports(node)['admin']}"),
            *("--interval", str(INTERVAL_S), "--status", str(self.status_file)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT / "node_image", stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals) -> int:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        return self._process.wait(timeout=60)

    def kill_and_start(self) -> None:
        self.end(signal.SIGKILL)
        self.__enter__()

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self.status_file.read_text())
            return found
        return {"archived": 0, "error": "no status yet"}


class Load:
    """Counters that are incremented once each: the acknowledged ones must be there."""

    def __init__(self, cluster: DevCluster) -> None:
        self.acknowledged: list[str] = []
        self._cluster = cluster
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(3)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, thread: int) -> None:
        for n in itertools.count():
            if self._stop.is_set():
                return
            key = f"t{thread}:{n}"
            try:
                with self._cluster.client((thread + n // 50) % 3, socket_timeout=5) as client:
                    if client.incr(key) == 1:
                        self.acknowledged.append(key)
            except (redis.RedisError, OSError):
                time.sleep(0.05)


def test_leaders_and_uploaders_are_killed_then_all_is_lost_and_every_increment_comes_back(
    tmp_path: Path,
) -> None:
    rng = random.Random(7)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(S3Server(tmp_path))
        cluster = stack.enter_context(DevCluster(tmp_path / "nodes", 3, "--tick-ms", "50"))
        cluster.wait_ready()
        uploaders = [
            stack.enter_context(UploaderProcess(cluster, server, node, tmp_path))
            for node in range(3)
        ]
        with Load(cluster) as load:
            for _ in range(KILLS):
                time.sleep(rng.random())
                rng.choice(uploaders).kill_and_start()
                if rng.random() < 0.5:
                    cluster.admin(rng.randrange(3), "RAFT.SNAPSHOT")
                cluster.kill_and_wait(cluster.leader())
        applied = max(cluster.status(node)["appliedIndex"] for node in range(3))
        wait_archived(uploaders, applied)
        for uploader in uploaders:
            uploader.end(signal.SIGKILL)
        cluster.__exit__()
        assert len(load.acknowledged) > KILLS
        found_again(server.store("live"), load.acknowledged, applied)


def wait_archived(uploaders: list[UploaderProcess], index: int) -> None:
    end = time.monotonic() + 150
    while max(uploader.status()["archived"] for uploader in uploaders) < index:
        assert time.monotonic() < end, [u.status() for u in uploaders]
        time.sleep(0.05)


def found_again(store: Any, acknowledged: list[str], applied: int) -> None:
    reader = Reader(store, Keys())
    contents = reader.choose()
    found = restore(reader, contents, Newest())
    assert found.index >= applied
    assert [key for key in acknowledged if found.machine.values.get(key.encode()) != 1] == []
    verdict = verify(reader, contents)
    assert verdict.problems == []
    assert verdict.gaps[1:] == [], "but for what came before the first snapshot"


@pytest.fixture
def node(tmp_path: Path) -> Any:
    with RaftNode(f"127.0.0.1:{free_ports(1)[0]}", str(tmp_path / "data"), "ns/x") as node:
        yield node


def test_a_node_gives_what_is_applied_and_its_snapshot_piece_by_piece(node: RaftNode) -> None:
    client = connect(node.admin_address)
    with pytest.raises(SourceError, match=r"BUSY there is nothing to archive"):
        NodeSource(client)
    node.join_cluster()
    for n in range(20):
        node.incr(f"k{n}")
    store = MemoryStore()
    service = Service(store, lambda: NodeSource(client), Keys, interval_s=0.1)
    stop = threading.Event()
    service.one_pass(stop)
    assert (service.status.error, service.status.behind) == ("", 0)
    client.execute_command("RAFT.SNAPSHOT")
    node.incr("k1")
    service.one_pass(stop)
    assert service.status.behind == 0
    reader = Reader(store, Keys())
    machine = restore(reader, reader.choose(), Newest()).machine
    assert dict(machine.values.items()) == {b"k%d" % n: 2 if n == 1 else 1 for n in range(20)}
    for words, said in (
        (("RAFT.ENTRIES", 1, 2), "BUSY entries"),
        (("RAFT.ENTRIES", 10_000, 10_001), "BUSY entries"),
        (("RAFT.ENTRIES", "x", 1), "ERR 'x' is not an index"),
        (("RAFT.STATE", 999, 0), "BUSY the snapshot in force is the one at"),
        (("RAFT.STATE", 1, -1), "ERR -1 is not an offset"),
    ):
        with pytest.raises(redis.ResponseError) as refused:
            client.execute_command(*words)  # type: ignore[arg-type]
        assert str(refused.value).startswith(said.removeprefix("ERR "))


def test_a_store_that_is_away_is_said_and_caught_up_with(node: RaftNode) -> None:
    node.join_cluster()
    store = MemoryStore()
    service = Service(store, lambda: NodeSource(connect(node.admin_address)), Keys, interval_s=0.1)
    stop = threading.Event()
    service.one_pass(stop)
    store.faults, store.rate = ("refuse",), 1.0
    complete_at = service.status.complete_at
    node.incr("k")
    service.one_pass(stop)
    status = msgspec.structs.asdict(service.status)
    assert (status["error"], status["behind"] > 0) == ("memory: refuse", True)
    assert status["complete_at"] == complete_at > 0
    store.heal()
    service.one_pass(stop)
    assert (service.status.error, service.status.behind) == ("", 0)


def test_a_log_that_was_let_go_is_closed_by_a_snapshot_that_is_asked_for(
    node: RaftNode,
) -> None:
    """Half an object is in the way: the member is asked for a snapshot, and the line goes on."""
    node.join_cluster()
    store = MemoryStore()
    service = Service(store, lambda: NodeSource(connect(node.admin_address)), Keys, interval_s=0.1)
    stop = threading.Event()
    service.one_pass(stop)
    node.incr("k")
    store.faults, store.rate = ("cut",), 1.0
    for _ in range(3):
        service.one_pass(stop)
    store.heal()
    node.incr("k")
    service.one_pass(stop)
    assert (service.status.error, service.status.wants, service.status.behind) == ("", "", 0)
    reader = Reader(store, Keys())
    found = restore(reader, reader.choose(), Newest())
    assert found.machine.values[b"k"] == 2


def test_a_node_with_certificates_is_asked_with_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "tls", 1)
    own = tmp_path / "own"
    own.mkdir()
    for name, of in (
        ("ca.crt", "ca.crt"),
        ("tls.crt", "operator.crt"),
        ("tls.key", "operator.key"),
    ):
        shutil.copy(folder.path / of, own / name)
    cluster = DevCluster(tmp_path / "nodes", 1, environment=folder.environment)
    cluster.client_options, cluster.admin_options = folder.client, folder.operator
    with cluster:
        cluster.wait_ready()
        address = f"127.0.0.1:{cluster.ports(0)['admin']}"
        with cluster.client(0) as client:
            client.incr("k")
        store = MemoryStore()
        service = Service(
            store, lambda: NodeSource(connect(address, str(own))), Keys, interval_s=0.1
        )
        service.one_pass(threading.Event())
        assert (service.status.error, service.status.behind) == ("", 0)
        with pytest.raises(SourceError):
            NodeSource(connect(address))
    reader = Reader(store, Keys())
    assert restore(reader, reader.choose(), Newest()).machine.values[b"k"] == 1
