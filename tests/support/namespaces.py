"""Nodes in network namespaces of the test's own, whose packets are dropped on the way, as a broken
switch or a firewall drops them.

Each node's namespace has one wire to the hub, a namespace that forwards between them. A cut is a
rule of the hub's routing: packets from one address to another are dropped without a word, or
refused with "unreachable". Nothing is closed at either end, and acknowledgements are dropped as
well, so one direction of a link is not one of a connection.

The namespaces have no names: file descriptors of this process hold them, and they end with it. The
hub's address is that of this program, where it was entered: by a thread (`inside`), or by a process
for good (`enter`). Only for root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from tests.support.begun import whole

CLONE_NEWNET: Final = 0x40000000
MISSING: Final = (
    "network namespaces need Linux, root, and ip and nsenter (Debian: iproute2, util-linux)"
)
Link = tuple[int, int]
"""Numbers of two nodes: from, to."""
T = TypeVar("T")


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def on_a_thread(work: Callable[[], T]) -> T:
    """Its namespace may change, and threads and processes that it starts are in it."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _new() -> int:
    def work() -> int:
        _call("unshare", CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    return on_a_thread(work)


def possible() -> bool:
    """Whether they can be made here."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("nsenter")):
        return False
    try:
        with Namespaces(1) as one:
            one.set_cut({(0, 0): False})
    except (OSError, AttributeError, subprocess.CalledProcessError):
        return False
    return True


class Namespaces:
    def __init__(self, nodes: int) -> None:
        self.hosts = [f"10.77.{number}.2" for number in range(nodes)]
        self._fds: list[int] = []
        self._rules: list[int] = []

    def __enter__(self) -> Namespaces:
        with whole(self.stop):
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._fds = [_new() for _ in range(len(self.hosts) + 1)]
        self._ip(-1, "link set lo up")
        for number, host in enumerate(self.hosts):
            hub = host.removesuffix("2") + "1"
            peer = f"link add wire{number} type veth peer name eth0 netns {self._path(number)}"
            self._ip(-1, peer, f"addr add {hub}/24 dev wire{number}", f"link set wire{number} up")
            self._ip(
                number,
                "link set lo up",
                f"addr add {host}/24 dev eth0",
                "link set eth0 up",
                f"route add default via {hub}",
            )
        self.inside(_forward)

    def stop(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def enter(self) -> None:
        """The hub, with the thread that calls: of a program the main one, before it makes
        others."""
        _call("setns", self._fds[-1], CLONE_NEWNET)

    def inside(self, work: Callable[[], T]) -> T:
        """Done in the hub."""

        def entered() -> T:
            self.enter()
            return work()

        return on_a_thread(entered)

    def words(self, node: int) -> list[str]:
        """Before a command that is to be run there."""
        return ["nsenter", f"--net={self._path(node)}"]

    def set_cut(self, cut: Mapping[Link, bool]) -> None:
        """These links are cut from now on, and no others: silently, or loudly if True."""
        lines = [f"rule del pref {number}" for number in self._rules]
        self._rules = list(range(1, len(cut) + 1))
        for number, ((sender, to), loud) in zip(self._rules, cut.items(), strict=True):
            what = "unreachable" if loud else "blackhole"
            lines.append(
                f"rule add pref {number} from {self.hosts[sender]} to {self.hosts[to]} {what}"
            )
        if lines:
            self._ip(-1, *lines)

    def _path(self, node: int) -> str:
        return f"/proc/{os.getpid()}/fd/{self._fds[node]}"

    def _ip(self, node: int, *lines: str) -> None:
        subprocess.run(
            [*self.words(node), "ip", "-batch", "-"],
            input="\n".join(lines) + "\n",
            text=True,
            check=True,
            capture_output=True,
        )


def _forward() -> None:
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("1")
