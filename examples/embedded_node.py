"""A counter node inside this very program: started, made a cluster, written to, read, stopped.

    python3 examples/embedded_node.py
    python3 examples/embedded_node.py 127.0.0.1:8080 127.0.0.1:8081 127.0.0.1:8082

With several addresses the program holds a cluster of several nodes; what one is sent, all of them
know."""

from __future__ import annotations

import argparse
import contextlib

from counter_node.embedded import RaftNode


def main() -> None:
    parser = argparse.ArgumentParser(description="A counter node inside this program.")
    parser.add_argument(
        "addresses",
        nargs="*",
        default=["127.0.0.1:8080"],
        help="where each node serves the Redis protocol (default: 127.0.0.1:8080)",
    )
    parser.add_argument("--key", default="counter")
    parser.add_argument("--value", type=int, default=42)
    options = parser.parse_args()

    with contextlib.ExitStack() as stack:
        nodes: list[RaftNode] = []
        for address in options.addresses:
            node = RaftNode(address)
            node.start()
            stack.callback(node.stop)
            node.join_cluster(nodes)
            nodes.append(node)
            print(f"{address} is a member of a cluster of {len(nodes)}")

        nodes[0].set(options.key, options.value)
        nodes[0].incr(options.key)
        for node in nodes:
            print(f"{node.address} reads {options.key} = {node.get(options.key)}")


if __name__ == "__main__":
    main()
