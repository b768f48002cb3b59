"""A devcluster whose nodes reach each other through what can be cut, and what can be done to it.

Either through proxies (links.py), which hold bytes back or close connections; or from one network
namespace to another (tests/support/namespaces.py), where packets are dropped. The second needs
root, and its hub must have been entered."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any, Self

import redis
from counter_node.ports import free_ports

from tests.faults.links import Link, Links
from tests.support.devcluster import DevCluster
from tests.support.namespaces import Namespaces


class FaultyCluster:
    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        *options: str,
        namespaces: Namespaces | None = None,
        environment: dict[str, str] | None = None,
        cluster_mode: bool = False,
    ) -> None:
        """`namespaces`: of as many nodes, instead of proxies."""
        self.size = nodes
        self._ids: dict[int, int] = {}
        ports = [free_ports(3) for _ in range(nodes)]
        self._proxies = None if namespaces else Links([peer for peer, _, _ in ports], self._ids.get)
        self.namespaces = namespaces
        if self._proxies is not None:
            self._proxies.start()
        for number, (peer, admin, http) in enumerate(ports):
            ports_file: dict[str, Any] = {"peer": peer, "admin": admin, "http": http}
            if self._proxies is not None:
                ports_file["advertised"] = self._proxies.ports[number]
            if namespaces is not None:
                ports_file |= {"host": namespaces.hosts[number], "enter": namespaces.words(number)}
            folder = directory / f"node-{number}"
            folder.mkdir(parents=True)
            (folder / "ports.json").write_text(json.dumps(ports_file))
        self.nodes = DevCluster(
            directory, nodes, *options, environment=environment, cluster_mode=cluster_mode
        )
        self._stopped: set[int] = set()

    def __enter__(self) -> Self:
        self.nodes.__enter__()
        for number in range(self.size):
            self._ids[int(self.nodes.status(number)["nodeId"], 16)] = number
        if self._proxies is not None:
            self._proxies.forget()  # who dialled before the ids were known
        return self

    def __exit__(self, *_: object) -> None:
        self.mend()
        self.nodes.__exit__()
        if self._proxies is not None:
            self._proxies.stop()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Of the clients' ports."""
        return [(self.nodes.host(n), self.nodes.resp_port(n)) for n in range(self.size)]

    def signal(self, node: int, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.nodes.pid(node), which)

    def leader(self) -> int | None:
        """Who leads the newest term, as far as those that answer say."""
        found: list[tuple[int, int]] = []
        for node in range(self.size):
            if node not in self._stopped:
                with contextlib.suppress(redis.RedisError, OSError):
                    status = self.nodes.status(node)
                    if status["role"] == "leader":
                        found.append((status["term"], node))
        return max(found)[1] if found else None

    def mend(self) -> None:
        for node in list(self._stopped):
            self.signal(node, signal.SIGCONT)
        self._stopped.clear()
        self._set_cut({})

    def _set_cut(self, cut: dict[Link, bool]) -> None:
        if self.namespaces is not None:
            self.namespaces.set_cut(cut)
        elif self._proxies is not None:
            self._proxies.set_cut(cut)

    # --- faults; each says in a few words what it did ---------------------------------------------

    def kill(self, nodes: list[int]) -> str:
        for node in nodes:
            self.signal(node, signal.SIGKILL)
        return f"SIGKILL of {len(nodes)} nodes: {nodes}"

    def pause(self, node: int) -> str:
        self._stopped.add(node)
        self.signal(node, signal.SIGSTOP)
        return f"SIGSTOP of {node}"

    def cut(self, links: set[Link], loud: bool, words: str) -> str:
        self._set_cut(dict.fromkeys(links, loud))
        how = ("dropped", "unreachable") if self.namespaces is not None else ("silent", "closed")
        return f"{words} ({how[loud]})"

    def some_fault(self, chance: random.Random) -> str:
        leader = self.leader()
        node = (
            leader if leader is not None and chance.random() < 0.6 else chance.randrange(self.size)
        )
        others = [n for n in range(self.size) if n != node]
        both = {(node, o) for o in others} | {(o, node) for o in others}
        loud = chance.random() < 0.3
        kind = chance.choices(
            ["kill", "kill all", "pause", "isolate", "deaf", "dumb", "link", "all", "transfer"],
            weights=[30, 4, 20, 12, 8, 8, 10, 4, 8],
        )[0]
        if kind == "kill":
            return self.kill([node])
        if kind == "kill all":
            return self.kill(list(range(self.size)))
        if kind == "pause":
            return self.pause(node)
        if kind == "isolate":
            return self.cut(both, loud, f"{node} cut off")
        if kind == "deaf":
            return self.cut({(o, node) for o in others}, loud, f"{node} hears nobody")
        if kind == "dumb":
            return self.cut({(node, o) for o in others}, loud, f"nobody hears {node}")
        if kind == "link":
            other = chance.choice(others)
            return self.cut(
                {(node, other), (other, node)} if chance.random() < 0.5 else {(node, other)},
                loud,
                f"link {node}-{other}",
            )
        if kind == "all":
            return self.cut(
                both | {(a, b) for a in others for b in others if a != b},
                loud,
                "nobody hears anybody",
            )
        with contextlib.suppress(redis.RedisError, OSError):
            self.nodes.admin(
                node, "RAFT.TRANSFER", self.nodes.status(chance.choice(others))["nodeId"]
            )
        return f"transfer from {node}"

    def wait_ready(self, timeout_s: float = 60) -> None:
        self.nodes.wait_ready(timeout_s)

    def final_values(self, keys: list[str]) -> list[dict[str, int]]:
        """What each node answers, by linearizable reads."""
        found = []
        for node in range(self.size):
            with self.nodes.client(node) as client:
                values = {}
                for key in keys:
                    end = time.monotonic() + 20
                    while True:
                        try:
                            values[key] = int(client.get(key) or 0)
                            break
                        except redis.RedisError:
                            if time.monotonic() > end:
                                raise
                            time.sleep(0.1)
                found.append(values)
        return found
