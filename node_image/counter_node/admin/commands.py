"""The RAFT.* commands of the admin port. Each waits until its change is committed and applied here,
or fails with the contract's errors: NOTLEADER (ask that node), BUSY and NOTREADY (ask again), ERR
(refused for good)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from counter_node.admin import feed
from counter_node.counters.batches import Calendar
from counter_node.counters.levels import TIME_LEVEL
from counter_node.counters.replies import Failure, Simple
from counter_node.logs import log
from counter_node.raft.fitness import Busy, NotReady
from counter_node.raft.membership import ChangeRefused, IdRemoved
from counter_node.raft.types import ChangeKind, Entry, Member, MembershipChange, NodeId
from counter_node.settings import SettingsError, address
from counter_node.views.status import Reported, hex_id, status

WAIT_S = 10.0
MOST_NAME_BYTES = 100
OK = Simple("OK")


EARLIEST_MS, LATEST_MS = 946_684_800_000, 253_402_300_799_999
"""What RAFT.TIME takes. A time in seconds would be in January 1970, and every deadline given as a
moment in a far future."""


class NoSnapshotError(Exception):
    """Why none was taken, in words."""


class Snapshots(Protocol):
    async def take(self) -> int:
        """Its index. Raises NoSnapshotError, or TimeoutError: it is not in force yet."""


class Administered(Reported, feed.Fed, Protocol):
    """What the commands need of the node."""

    @property
    def snapshots(self) -> Snapshots: ...

    def bootstrap(self) -> None: ...

    async def recover(self) -> str: ...

    def wake(self) -> None: ...


class Refused(Exception):
    """The text of the error reply."""


def node_id(text: bytes) -> NodeId:
    if not re.fullmatch(rb"[0-9a-fA-F]{16}", text):
        raise Refused(f"ERR node id {text[:40].decode(errors='replace')!r} is not 16 hex digits")
    return int(text, 16)


def _integer(text: bytes, what: str) -> int:
    if not re.fullmatch(rb"-?\d{1,18}", text):
        raise Refused(f"ERR {text[:40].decode(errors='replace')!r} is not {what}")
    return int(text)


def _address(text: bytes) -> str:
    try:
        address(text.decode())
    except (SettingsError, UnicodeDecodeError):
        raise Refused(f"ERR {text[:300].decode(errors='replace')!r} is not host:port") from None
    return text.decode()


class Admin:
    def __init__(self, node: Administered) -> None:
        self._node = node
        self.waiting: dict[int, list[tuple[int, asyncio.Future[bool]]]] = {}
        self._commands: dict[str, tuple[int, Callable[..., Awaitable[Any]]]] = {
            "STATUS": (0, self._status),
            "BOOTSTRAP": (1, self._bootstrap),
            "RECOVER": (1, self._recover),
            "ADDLEARNER": (4, self._add_learner),
            "PROMOTE": (1, self._promote),
            "REMOVE": (1, self._remove),
            "TRANSFER": (1, self._transfer),
            "SNAPSHOT": (0, self._snapshot),
            "TIME": (1, self._time),
            "WITNESS": (4, self._witness),
            "ARCHIVE": (0, self._archive),
            "ENTRIES": (2, self._entries),
            "STATE": (2, self._state),
        }

    async def execute(self, words: list[bytes]) -> Any:
        name = words[0].decode(errors="replace").upper().removeprefix("RAFT.")
        if name not in self._commands:
            return Failure(
                f"ERR unknown command '{words[0].decode(errors='replace')}'; "
                f"RAFT.{' RAFT.'.join(self._commands)}".encode()
            )
        arity, handler = self._commands[name]
        if len(words) - 1 != arity:
            return Failure(
                f"ERR wrong number of arguments for 'raft.{name.lower()}' command".encode()
            )
        try:
            return await handler(*words[1:])
        except Refused as error:
            return Failure(str(error).encode())
        except IdRemoved as error:
            return Failure(f"REMOVED {error}".encode())
        except ChangeRefused as error:
            return Failure(f"ERR {error}".encode())
        except (Busy, feed.Unavailable) as error:
            return Failure(f"BUSY {error}".encode())
        except NotReady as error:
            return Failure(f"NOTREADY {error}".encode())
        except (
            Exception
        ) as error:  # without an answer the administrator would wait for ever, and know nothing
            log.error(
                "raft.%s failed by an error of the node's own; please report it",
                name.lower(),
                exc_info=True,
            )
            return Failure(
                f"UNKNOWN an error of the node's own, {type(error).__name__}, which its log "
                f"tells; look before you ask again".encode()
            )

    def applied(self, entry: Entry) -> None:
        """Whoever waits for this index learns whether it is still the entry that was proposed."""
        for term, waiter in self.waiting.pop(entry.index, ()):
            if not waiter.done():
                waiter.set_result(term == entry.term)

    # --- the commands -----------------------------------------------------------------------------

    async def _status(self) -> bytes:
        return json.dumps(status(self._node)).encode()

    async def _bootstrap(self, wanted: bytes) -> Simple:
        node = self._node
        if node_id(wanted) != node.id:
            raise Refused(f"ERR this is node {node.id:016x}; it was not asked to form a cluster")
        raft = node.replica.raft
        if raft.membership.members or raft.term > 0 or raft.log.last_index > 0:
            raise Refused("ERR this node already belongs, or belonged, to a cluster")
        node.bootstrap()
        return OK

    async def _recover(self, wanted: bytes) -> Simple:
        """The last resort of docs/operating/recover.md: the others are given up for ever."""
        node, replica = self._node, self._node.replica
        if node_id(wanted) != node.id:
            raise Refused(f"ERR this is node {node.id:016x}; it was not asked to go on alone")
        if node.failed or node.removed or not replica.is_voter:
            raise Refused(f"ERR this node cannot go on alone: {node.unready()}")
        if replica.raft.voters == {node.id}:
            return OK
        if why := await node.recover():
            raise Refused(f"ERR {why}")
        return OK

    async def _add_learner(self, new: bytes, name: bytes, peer: bytes, resp: bytes) -> Simple:
        member = Member(
            node_id(new), name.decode(errors="replace"), _address(peer), _address(resp), False
        )
        return await self._change(MembershipChange(ChangeKind.ADD_LEARNER, member.id, member))

    async def _promote(self, who: bytes) -> Simple:
        return await self._change(MembershipChange(ChangeKind.PROMOTE, node_id(who)))

    async def _remove(self, who: bytes) -> Simple:
        return await self._change(MembershipChange(ChangeKind.REMOVE, node_id(who)))

    async def _change(self, change: MembershipChange) -> Simple:
        leadership = self._leadership()
        index = leadership.propose_change(change)
        self._node.wake()
        if index is not None and not await self._committed(index):
            raise Refused(
                "BUSY leadership was lost before the change was committed; it did not happen"
            )
        return OK

    async def _committed(self, index: int) -> bool:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(index, []).append((self._node.replica.raft.term, waiter))
        try:
            async with asyncio.timeout(WAIT_S):
                return await waiter
        except TimeoutError:
            raise Refused(
                f"UNKNOWN the change was proposed but not committed within {WAIT_S:.0f} s; it "
                f"may still be"
            ) from None

    async def _transfer(self, to: bytes) -> Simple:
        target = self._leadership().transfer(node_id(to))
        self._node.wake()
        raft = self._node.replica.raft
        end = asyncio.get_running_loop().time() + WAIT_S
        while raft.leader != target:
            leadership = raft.leadership
            if asyncio.get_running_loop().time() > end or (
                leadership is not None and leadership.transferee != target
            ):
                raise Refused(f"BUSY leadership was not handed to {hex_id(target)}; ask again")
            await asyncio.sleep(0.01)
        return OK

    async def _snapshot(self) -> int:
        """The answer names only a snapshot that is in force."""
        try:
            return await self._node.snapshots.take()
        except NoSnapshotError as error:
            raise Refused(f"ERR no snapshot was taken: {error}") from None
        except TimeoutError:
            raise Refused("BUSY the snapshot is not in force yet; ask again") from None

    async def _time(self, utc: bytes) -> Simple:
        """From here on UTC is `utc` ms. Log time does not move, so every deadline keeps what was
        left of it."""
        replica = self._node.replica
        self._leadership()
        if replica.machine.level < TIME_LEVEL:
            raise Refused(
                f"ERR not before every node is upgraded: RAFT.TIME needs level {TIME_LEVEL}, the "
                f"cluster is at {replica.machine.level}"
            )
        wanted_ms = _integer(utc, "a time in ms since 1970")
        if not EARLIEST_MS <= wanted_ms <= LATEST_MS:
            raise Refused(
                f"ERR {wanted_ms} is not a time in ms since 1970 between the years 2000 and "
                f"9999; are those seconds?"
            )
        offset_ms = wanted_ms - replica.time.now()
        index = replica.time_entries.propose(Calendar(offset_ms))
        if index is None:
            raise Refused("BUSY the entry could not be proposed now; ask again")
        self._node.wake()
        if not await self._committed(index):
            raise Refused(
                "BUSY leadership was lost before the change was committed; it did not happen"
            )
        log.warning(
            "the calendar was set by an administrator",
            extra={"utc_ms": wanted_ms, "offset_ms": offset_ms},
        )
        return OK

    async def _witness(self, name: bytes, utc: bytes, error: bytes, max_jump: bytes) -> Simple:
        """A clock beside the members': its name, ms since 1970, give or take so many ms, and how
        far a jump may go, in ms."""
        keeper = self._node.replica.keeper
        words = [_integer(word, "a number of ms") for word in (utc, error, max_jump)]
        if len(name) > MOST_NAME_BYTES or min(words) < 0:
            raise Refused(
                f"ERR a witness has a name of {MOST_NAME_BYTES} bytes at most, and no negative "
                f"numbers"
            )
        keeper.witness(name.decode(errors="replace"), words[0], words[1])
        keeper.max_jump_ms = words[2]
        return OK

    async def _archive(self) -> bytes:
        return feed.feed(self._node)

    async def _entries(self, first: bytes, last: bytes) -> bytes:
        return feed.entries(self._node, _integer(first, "an index"), _integer(last, "an index"))

    async def _state(self, index: bytes, offset: bytes) -> bytes:
        at = _integer(offset, "an offset")
        if at < 0:
            raise Refused(f"ERR {at} is not an offset")
        return await feed.piece(self._node, _integer(index, "an index"), at)

    def _leadership(self) -> Any:
        raft = self._node.replica.raft
        if raft.leadership is None:
            leader = raft.membership.get(raft.leader)
            raise Refused(
                f"NOTLEADER {raft.leader:016x} {leader.peer if leader is not None else ''}".rstrip()
            )
        return raft.leadership
