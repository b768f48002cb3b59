"""Free ports, for whoever starts nodes on this machine: devcluster, the embedded cluster, tests and
benchmarks."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

RANGE: Final = range(10_000, 20_000)
"""Below what Linux gives to the near ends of connections: none of these is taken while the process
that listens there starts again."""
_given: set[int] = set()


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` ports that are free now, in no order. A process gives none twice until it has given
    all: who got one may not listen there yet when the next one asks. Raises OSError when there are
    too few."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in sorted(
            random.SystemRandom().sample(RANGE, len(RANGE)), key=_given.__contains__
        ):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind((host, port))
                found.append(port)
            if len(found) == count:
                _given.update(found)
                return found
    raise OSError(
        f"fewer than {count} ports between {RANGE.start} and {RANGE.stop} are free on {host}"
    )
