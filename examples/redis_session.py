"""A session with the Redis in front of a CounterCluster: ping, get, set, get, delete.

    kubectl port-forward service/clicks-cache 6380:6379
    python3 examples/redis_session.py --port 6380

The cache is an ordinary Redis: counters appear in it as plain integers under their own names, so that reads cost the cluster nothing. What is written
here stays here: counters are changed on the nodes. The same session works against a node, where each of its answers is linearizable.
"""

from __future__ import annotations

import argparse

import redis


def main() -> None:
    parser = argparse.ArgumentParser(description="ping, get, set, get, delete")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--key", default="example:session")
    parser.add_argument("--value", type=int, default=7)
    options = parser.parse_args()

    with redis.Redis(host=options.host, port=options.port, decode_responses=True) as session:
        print(f"ping   {session.ping()}")
        print(f"get    {session.get(options.key)}")
        print(f"set    {session.set(options.key, options.value)}")
        print(f"get    {session.get(options.key)}")
        print(f"delete {session.delete(options.key)}")


if __name__ == "__main__":
    main()
