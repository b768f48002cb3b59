"""redis-cli and redis-benchmark as Debian ships them, with their defaults, against every node: no
node is special to a client."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.devcluster import DevCluster

EVERY_NODE = pytest.mark.parametrize("node", [0, 1, 2])


def redis_cli(cluster: DevCluster, node: int, *words: str, stdin: str | None = None) -> str:
    command = ["redis-cli", "-h", "127.0.0.1", "-p", str(cluster.resp_port(node)), *words]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=120, check=True
    ).stdout.strip()


def redis_benchmark(cluster: DevCluster, node: int, *words: str) -> str:
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(cluster.resp_port(node)), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@EVERY_NODE
@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_redis_cli_counts_on_every_node(
    cluster: DevCluster, node: int, protocol: str, key: str
) -> None:
    assert redis_cli(cluster, node, protocol, "ping") == "PONG"
    assert redis_cli(cluster, node, protocol, "incr", key) == "1"
    assert redis_cli(cluster, node, protocol, "incrby", key, "41") == "42"
    assert redis_cli(cluster, (node + 1) % 3, protocol, "get", key) == "42"
    assert redis_cli(cluster, (node + 2) % 3, protocol, "--raw", "mget", key, key) == "42\n42"
    assert redis_cli(cluster, node, protocol, "del", key) == "1"
    assert redis_cli(cluster, node, protocol, "get", key) == ""


def test_redis_cli_reads_commands_from_standard_input_and_goes_on_after_errors(
    cluster: DevCluster, key: str
) -> None:
    script = f"MULTI\nINCR {key}\nINCRBY {key} 9\nEXEC\nNOSUCH\nINCR\nSET {key} many\nGET {key}\n"
    printed = redis_cli(cluster, 1, stdin=script).splitlines()
    assert printed[:5] == ["OK", "QUEUED", "QUEUED", "1", "10"]
    assert printed[-1] == "10"
    assert any("unknown command" in line for line in printed)
    assert any("wrong number of arguments" in line for line in printed)
    assert any("not an integer" in line for line in printed)


def test_redis_cli_pipes_a_thousand_commands_in(cluster: DevCluster, key: str) -> None:
    printed = redis_cli(cluster, 2, "--pipe", stdin=f"INCR {key}\r\n" * 1000)
    assert "errors: 0, replies: 1000" in printed
    assert redis_cli(cluster, 0, "get", key) == "1000"


def test_redis_cli_scans_the_keys(cluster: DevCluster, key: str) -> None:
    names = {f"{key}:{n}" for n in range(25)}
    redis_cli(cluster, 0, "mset", *(word for name in names for word in (name, "1")))
    assert set(redis_cli(cluster, 1, "--scan", "--pattern", f"{key}:*").splitlines()) == names


@EVERY_NODE
def test_a_node_tells_about_itself(cluster: DevCluster, node: int) -> None:
    info = redis_cli(cluster, node, "info", "server")
    assert re.search(r"redis_version:\d+\.\d+", info)
    assert f"tcp_port:{cluster.resp_port(node)}" in info
    assert int(redis_cli(cluster, node, "command", "count")) > 40
    assert redis_cli(cluster, node, "config", "get", "appendonly").splitlines() == [
        "appendonly",
        "yes",
    ]


def test_every_node_takes_writes_and_says_so_and_the_leader_is_named_elsewhere(
    cluster: DevCluster,
) -> None:
    leader = cluster.leader()
    roles = [redis_cli(cluster, node, "role").splitlines()[0] for node in range(3)]
    assert roles == ["master"] * 3
    for node in range(3):
        with cluster.client(node, decode_responses=True) as client:
            info = client.info()
            assert (info["role"], info["connected_slaves"]) == ("master", 0)
            assert info["raft_leader_name"] == f"node-{leader}"
            assert info["raft_leader_address"] == f"127.0.0.1:{cluster.resp_port(leader)}"
            shard = client.execute_command("CLUSTER SHARDS")[0]
            nodes = [
                dict(zip(n[::2], n[1::2], strict=True)) if isinstance(n, list) else n
                for n in dict(shard)["nodes"]
            ]
            assert [n["port"] for n in nodes if n["role"] == "master"] == [
                cluster.resp_port(leader)
            ]
        assert cluster.admin(node, "ROLE")[0] == (b"master" if node == leader else b"slave")


@pytest.mark.parametrize("where", ["leader", "follower"])
@pytest.mark.parametrize(
    "options", [[], ["-P", "16"], ["--threads", "2"]], ids=lambda words: " ".join(words) or "plain"
)
def test_redis_benchmark_counts_every_request(
    cluster: DevCluster, where: str, options: list[str]
) -> None:
    node = cluster.leader() if where == "leader" else (cluster.leader() + 1) % 3
    redis_cli(cluster, node, "del", "counter:__rand_int__")
    printed = redis_benchmark(
        cluster, node, "-n", "4000", "-c", "20", "-q", "-t", "ping,incr,get", *options
    )
    assert "INCR: " in printed
    assert "rror" not in printed
    assert redis_cli(cluster, (node + 1) % 3, "get", "counter:__rand_int__") == "4000"


def test_redis_benchmark_runs_any_command(cluster: DevCluster, key: str) -> None:
    printed = redis_benchmark(cluster, 1, "-n", "1000", "-c", "10", "-q", "INCRBY", key, "3")
    assert "requests per second" in printed
    assert redis_cli(cluster, 2, "get", key) == "3000"
