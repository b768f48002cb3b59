"""The archive in a real S3 server, fed from the data directories of real nodes, and real nodes that
start from what was restored."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from counter_node.archive.reader import Reader
from counter_node.archive.restore import restore
from counter_node.archive.rules.restoring import Newest
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.stores import (
    AbsentError,
    ExistsError,
    RefusedError,
    StoreError,
    probe,
)
from counter_node.archive.uploader import Uploader
from counter_node.archive.verify import verify
from counter_node.embedded import RaftNode
from counter_node.ports import free_ports

from tests.support.archive_world import HISTORY, Member, Truth
from tests.support.certificates import Folder
from tests.support.proxy import Cut, Proxy
from tests.support.s3_server import ACCESS, SECRET, S3Server

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys({"2026": b"k" * 32}, "2026")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    with S3Server(tmp_path) as server:
        yield server


def program(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "counter_node.archive", *words],
        cwd=ROOT / "node_image", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def history_with(entries: int) -> tuple[Truth, Member]:
    truth = Truth(5)
    for _ in range(entries):
        truth.count()
    member = Member(truth)
    member.catch_up(truth.index)
    return truth, member


def test_what_real_nodes_counted_comes_back_in_a_new_cluster_that_goes_on(
    server: S3Server, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "2026-01").write_bytes(b"k" * 32)
    options = [*server.options("live"), "--keys", str(keys)]
    data, new = tmp_path / "data", tmp_path / "new"
    expected = {}
    with RaftNode(f"127.0.0.1:{free_ports(1)[0]}", str(data), "ns/old") as node:
        node.join_cluster()
        for n in range(300):
            expected[f"k{n % 50}"] = node.incr(f"k{n % 50}", n)
        node.set("gone", 1)
        port = int(node.address.rpartition(":")[2])
        with redis.Redis(port=port) as client:
            client.delete("gone")
            client.set("expires", 5, ex=3600)
    uploaded = program("upload", str(data), *options)
    assert uploaded["behind"] == 0
    assert program("verify", *options)["problems"] == []
    for path in server.root.rglob("*"):
        assert not path.is_file() or b"expires" not in path.read_bytes(), "encrypted"
    address = f"127.0.0.1:{free_ports(1)[0]}"
    found = program(
        "restore", *options, "--into", str(new), "--cluster-id", "ns/new", "--name", address,
        "--advertise-peer", "127.0.0.1:1", "--advertise-resp", address,
    )  # fmt: skip
    assert (found["history"], found["counters"]) == (uploaded["history"], 51)
    with RaftNode(address, str(new), "ns/new") as node:
        end = time.monotonic() + 60
        while not (status := raft_status(node))["ready"]:
            assert time.monotonic() < end, status
            time.sleep(0.05)
        assert {key: node.get(key) for key in expected} == expected
        assert node.get("gone") is None
        with redis.Redis(port=int(address.rpartition(":")[2])) as client:
            assert 0 < client.ttl("expires") <= 3600
        assert node.incr("k1") == expected["k1"] + 1
        history = raft_status(node)["history"]
    assert (history["id"], history["parent"]) == (found["newHistory"], found["history"])
    assert history["reason"] == "restore"
    again = program("upload", str(new), *options)
    assert again["history"] == found["newHistory"]


def raft_status(node: RaftNode) -> dict[str, Any]:
    host, _, port = node.admin_address.rpartition(":")
    with redis.Redis(host=host, port=int(port)) as client:
        found: dict[str, Any] = json.loads(client.execute_command("RAFT.STATUS"))
        return found


def test_of_many_at_once_one_creates_and_the_others_know(server: S3Server) -> None:
    probe(server.store())
    won: list[int] = []
    ready = threading.Barrier(8)

    def race(n: int) -> None:
        store = server.store()
        ready.wait()
        try:
            store.create("h/x", b"%d" % n)
            won.append(n)
        except ExistsError:
            pass

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert server.store().get("h/x") == b"%d" % won[0]


def test_prefixes_do_not_meet_and_deleted_is_gone(server: S3Server) -> None:
    one, other = server.store("a/b"), server.store("a/bc")
    one.create("h/log/1", b"x")
    assert list(other.list()) == []
    assert list(one.list("h/")) == [("h/log/1", 1)]
    one.delete("h/log/1")
    one.delete("h/log/1")
    with pytest.raises(AbsentError):
        one.get("h/log/1")


def test_changed_credentials_are_used_without_a_new_start(server: S3Server) -> None:
    server.give(ACCESS, "an-old-secret")
    store = server.store()
    with pytest.raises(RefusedError, match=r"Check the credentials and their rights"):
        store.create("h/x", b"1")
    server.give(ACCESS, SECRET)
    end = time.monotonic() + 90
    while True:
        try:
            store.create("h/x", b"1")
            break
        except RefusedError:
            assert time.monotonic() < end
            time.sleep(0.2)
    assert store.get("h/x") == b"1"


def test_a_server_with_an_authority_of_its_own(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "tls", 1)
    certificate, key = (str(folder.path / name) for name in ("node-0.crt", "node-0.key"))
    with S3Server(tmp_path, certificate, key) as server:
        probe(server.store(ca_file=str(folder.path / "ca.crt")))
        with pytest.raises(StoreError, match=r"(?i)certificate|error sending request"):
            server.store(timeout_s=2.0).create("h/x", b"1")


def test_a_lost_answer_neither_loses_nor_doubles(server: S3Server) -> None:
    """Of every second connection nobody hears the answer. The client repeats, and meets its own
    object."""
    truth, member = history_with(30)
    cuts = [Cut(to_client=0), None] * 200
    with Proxy(lambda: [server.port], cuts) as proxy:
        store = server.store(endpoint=f"http://127.0.0.1:{proxy.port}", timeout_s=5.0)
        uploader = Uploader(store, member, KEYS, log_bytes=200)
        run(uploader)
        assert proxy.cut > 0
    check(server, truth)


def test_a_frozen_server_that_does_it_later_makes_no_second_line(server: S3Server) -> None:
    """The client gives up, and the request is done minutes later: only creating once helps."""
    truth, member = history_with(30)
    store = server.store(timeout_s=1.0)
    uploader = Uploader(store, member, KEYS, log_bytes=200)
    for _ in range(4):
        uploader.step()
    server.signal(signal.SIGSTOP)
    with pytest.raises(StoreError):
        uploader.step()
    for _ in range(10):
        truth.count()
    member.catch_up(truth.index)
    server.signal(signal.SIGCONT)
    others = [Uploader(server.store(), member, KEYS, log_bytes=n) for n in (150, 1000)]
    for other in (*others, uploader):
        run(other)
    check(server, truth)


def run(uploader: Uploader) -> None:
    """As the process does it: after an error the same step again."""
    end = time.monotonic() + 120
    while True:
        try:
            uploader.run()
            break
        except StoreError:
            assert time.monotonic() < end
    assert uploader.behind == 0


def check(server: S3Server, truth: Truth) -> None:
    reader = Reader(server.store(), KEYS)
    contents = reader.contents(HISTORY)
    found = restore(reader, contents, Newest())
    assert (found.index, found.machine.snapshot()) == (truth.index, truth.states[truth.index])
    verdict = verify(reader, contents)
    assert (verdict.problems, verdict.gaps) == ([], [])
