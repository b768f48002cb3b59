"""A cluster of real node processes on loopback, for development, tests and benchmarks.

    python -m counter_node.devcluster --nodes 3 --port 7001 --dir DIR

Runs in the foreground until SIGTERM or Ctrl-C. Node i (from 0) serves the Redis protocol on port +
i; its other ports are chosen free ones and kept in DIR/node-i/ports.json, so that a second start
over the same DIR is the same cluster. When all nodes are voters it has printed one line for each,
`node I pid PID resp 127.0.0.1:PORT`, and then `ready`. A node that dies is started again after a
second and its line is printed again; `--no-restart` turns that off. When a node cannot start, and
the cluster was not ready yet, all ends with exit code 1 and that node's reason. With
`--cluster-mode` node i also serves clients in Redis cluster mode, on port + number of nodes + i.
Options after `--` go to every node, e.g. `-- --tick-ms 20`. Logs: DIR/node-i/log.

Somebody who lets nodes reach each other by another way writes ports.json beforehand: `host`, the
address of the node; `enter`, the words of a command before its own, which end in running it
(nsenter); `advertised`, the port at which others reach it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from counter_node import __version__
from counter_node.exits import Exit
from counter_node.ports import free_ports

HOST = "127.0.0.1"
RESTART_S = 1.0
FORM_S = 150.0
OTHER_PORTS = ("peer", "admin", "http")

FOR_ONE_NODE = ("COUNTER_FAILPOINTS", "FAKETIME_TIMESTAMP_FILE", "TEST_CLOCKS_FILE")
"""Variables that may have the number of a node after them, and are for that node alone then."""


class ClusterError(Exception):
    """The cluster could not be formed; the message says which step failed and what the node
    said."""


def say(line: str) -> None:
    print(line, flush=True)


def _operator_tls() -> dict[str, Any]:
    """With COUNTER_TLS_DIR in the environment, which the nodes take too: that folder holds
    operator.crt and operator.key beside theirs."""
    folder = os.environ.get("COUNTER_TLS_DIR")
    if not folder:
        return {}
    files = {
        "ssl_ca_certs": "ca.crt",
        "ssl_certfile": "operator.crt",
        "ssl_keyfile": "operator.key",
    }
    return {"ssl": True} | {option: str(Path(folder) / name) for option, name in files.items()}


class NodeProcess:
    def __init__(
        self, index: int, resp_port: int, cluster_port: int, directory: Path, options: list[str]
    ) -> None:
        self.index = index
        self.resp_port = resp_port
        self.cluster_port = cluster_port
        self.directory = directory / f"node-{index}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = self._ports()
        self.host = str(self.ports.get("host", HOST))
        self._options = options
        self.process: asyncio.subprocess.Process | None = None

    def _ports(self) -> dict[str, Any]:
        path = self.directory / "ports.json"
        if path.exists():
            known: dict[str, Any] = json.loads(path.read_text())
            return known
        ports = dict(zip(OTHER_PORTS, free_ports(len(OTHER_PORTS)), strict=True))
        path.write_text(json.dumps(ports))
        return ports

    @property
    def peer(self) -> str:
        """Where others reach this node: "advertised" in ports.json, if somebody put a proxy there,
        else its own port."""
        return f"{self.host}:{self.ports.get('advertised', self.ports['peer'])}"

    @property
    def resp(self) -> str:
        return f"{self.host}:{self.resp_port}"

    async def start(self) -> None:
        arguments = {
            "cluster-id": "devcluster",
            "data-dir": str(self.directory / "data"),
            "name": f"node-{self.index}",
            "bind": self.host,
            "resp-port": str(self.resp_port),
            "cluster-port": str(self.cluster_port),
            "peer-port": str(self.ports["peer"]),
            "advertise-peer": self.peer,
            "admin-port": str(self.ports["admin"]),
            "http-port": str(self.ports["http"]),
        }
        flags = [word for name, value in arguments.items() for word in (f"--{name}", value)]
        environment = dict(os.environ)
        for name in FOR_ONE_NODE:
            if value := environment.get(f"{name}_{self.index}"):
                environment[name] = value
        command = [
            *self.ports.get("enter", ()),
            sys.executable,
            "-m",
            "counter_node",
            *flags,
            *self._options,
        ]
        with (self.directory / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        say(f"node {self.index} pid {self.process.pid} resp {self.resp}")

    def last_words(self) -> str:
        """The message of the last line in its log, which says why it ended."""
        lines = (self.directory / "log").read_text(errors="replace").splitlines()[-1:]
        try:
            return str(json.loads(lines[0])["msg"])
        except (IndexError, ValueError, KeyError, TypeError):
            return "".join(lines)

    async def admin(self, *command: str, timeout_s: float = 15.0) -> Any:
        client = redis.asyncio.Redis(
            host=self.host,
            port=self.ports["admin"],
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
            **_operator_tls(),
        )
        try:
            return await client.execute_command(*command)
        finally:
            await client.aclose()

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.admin("RAFT.STATUS", timeout_s=2.0))
        return found


class DevCluster:
    def __init__(
        self,
        count: int,
        port: int,
        directory: Path,
        options: list[str],
        *,
        restart: bool,
        cluster_mode: bool,
    ) -> None:
        self.nodes = [
            NodeProcess(i, port + i, port + count + i if cluster_mode else 0, directory, options)
            for i in range(count)
        ]
        self._restart = restart
        self._stopping = self._ready = False

    async def run(self) -> None:
        keepers = [asyncio.create_task(self._keep(node)) for node in self.nodes]
        try:
            async with asyncio.timeout(FORM_S):
                await self._formed(keepers)
            self._ready = True
            say("ready")
            await asyncio.gather(*keepers)
        except TimeoutError:
            raise ClusterError(
                f"no cluster of {len(self.nodes)} voters within {FORM_S:.0f} s; see the nodes' "
                f"log files"
            ) from None
        finally:
            self._stopping = True
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._end()

    async def _formed(self, keepers: list[asyncio.Task[None]]) -> None:
        """Raises ClusterError as soon as a node cannot start."""
        forming = asyncio.create_task(self._form())
        try:
            await asyncio.wait([forming, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
            await forming
        finally:
            forming.cancel()

    async def _keep(self, node: NodeProcess) -> None:
        while True:
            await node.start()
            assert node.process is not None
            code = await node.process.wait()
            if self._stopping:
                return
            why = f": {node.last_words()}" if code > 0 else ""
            say(f"node {node.index} ended with {code}{why}")
            if code == Exit.SETTINGS and not self._ready:
                raise ClusterError(f"node {node.index} cannot start{why}")
            if not self._restart:
                await asyncio.Event().wait()
            await asyncio.sleep(RESTART_S)

    async def _end(self) -> None:
        running = [
            n.process for n in self.nodes if n.process is not None and n.process.returncode is None
        ]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(12):
                await asyncio.gather(*(p.wait() for p in running))
        for process in running:
            if process.returncode is None:
                process.kill()

    async def _form(self) -> None:
        """Bootstrap the first node of a new cluster, then add the others one by one; an old cluster
        only has to come back."""
        states = [await self._answering(node) for node in self.nodes]
        if all(state["role"] == "waiting" for state in states):
            await self.nodes[0].admin("RAFT.BOOTSTRAP", states[0]["nodeId"])
        for node, state in zip(self.nodes, states, strict=True):
            await self._join(node, state["nodeId"])
        for node in self.nodes:
            while not (await self._answering(node))["ready"]:
                await asyncio.sleep(0.05)

    async def _answering(self, node: NodeProcess) -> dict[str, Any]:
        while True:
            try:
                return await node.status()
            except (RedisError, OSError):
                await asyncio.sleep(0.05)

    async def _join(self, node: NodeProcess, node_id: str) -> None:
        while True:
            member = {m["nodeId"]: m for m in (await self._leader_status())["members"]}.get(node_id)
            if member is not None and member["voter"]:
                return
            command = (
                ("RAFT.ADDLEARNER", node_id, f"node-{node.index}", node.peer, node.resp)
                if member is None
                else ("RAFT.PROMOTE", node_id)
            )
            try:
                await (await self._leader()).admin(*command)
            except (RedisError, OSError):
                await asyncio.sleep(0.05)

    async def _leader(self) -> NodeProcess:
        while True:
            for node in self.nodes:
                with contextlib.suppress(RedisError, OSError):
                    if (await node.status())["role"] == "leader":
                        return node
            await asyncio.sleep(0.05)

    async def _leader_status(self) -> dict[str, Any]:
        while True:
            with contextlib.suppress(RedisError, OSError):
                return await (await self._leader()).status()


async def _main(options: argparse.Namespace) -> int:
    directory = Path(options.dir)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"devcluster: --dir: {error}", file=sys.stderr)
        return Exit.SETTINGS
    extra = [o for o in options.node_options if o != "--"]
    cluster = DevCluster(
        options.nodes,
        options.port,
        directory,
        extra,
        restart=not options.no_restart,
        cluster_mode=options.cluster_mode,
    )
    task = asyncio.create_task(cluster.run())
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except ClusterError as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="counter_node.devcluster", description="A cluster of node processes on loopback."
    )
    parser.add_argument("--version", action="version", version=f"counter_node {__version__}")
    parser.add_argument("--nodes", type=int, default=3, help="how many, 1 to 7")
    parser.add_argument(
        "--port", type=int, default=7001, help="node i serves the Redis protocol on PORT + i"
    )
    parser.add_argument(
        "--dir",
        default=f"/tmp/countercluster-{os.getuid()}-{int(time.time())}",
        help="data, logs and ports of the nodes",
    )
    parser.add_argument("--no-restart", action="store_true", help="leave a node that died dead")
    parser.add_argument(
        "--cluster-mode", action="store_true", help="serve clients in Redis cluster mode as well"
    )
    parser.add_argument(
        "node_options", nargs=argparse.REMAINDER, help="after --: options for every node"
    )
    options = parser.parse_args()
    if not 1 <= options.nodes <= 7:
        parser.error(f"--nodes is {options.nodes}; 1 to 7")
    return asyncio.run(_main(options))


if __name__ == "__main__":
    sys.exit(main())
