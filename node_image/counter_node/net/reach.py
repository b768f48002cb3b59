"""Who of the members answers right now: each is dialled and greeted again, beside the links that
there are. For decisions that must not rest on an old connection or an old message (RAFT.RECOVER).

A member answers when the node at its address takes the greeting or refuses it for whatever it
thinks of this node. Another node, or another cluster, at its address is no answer of that member.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from counter_node.net.frames import Hello, Welcome, frame
from counter_node.net.links import CONNECT_S, Outbound
from counter_node.raft.types import Member, NodeId
from counter_node.security.tls import Tls
from counter_node.settings import Settings, SettingsError, address

SOMEBODY_ELSE = ("this is node", "this is cluster")


async def reached(
    members: Iterable[tuple[Member, Hello]], tls: Tls | None, settings: Settings
) -> set[NodeId]:
    """Ids of those that answer within `CONNECT_S`."""
    asked = list(members)
    answers = await asyncio.gather(
        *(_answers(member, hello, tls, settings) for member, hello in asked)
    )
    return {member.id for (member, _), answer in zip(asked, answers, strict=True) if answer}


async def _answers(member: Member, hello: Hello, tls: Tls | None, settings: Settings) -> bool:
    welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
    transport: asyncio.WriteTransport | None = None
    try:
        async with asyncio.timeout(CONNECT_S):
            host, port = address(member.peer)
            transport = await _dial(Outbound(welcome, settings), host, port, tls)
            if tls is not None and not tls.knows(transport.get_extra_info("peercert"), member.name):
                return False
            transport.write(frame(hello))
            return not (await welcome).reason.startswith(SOMEBODY_ELSE)
    except (OSError, TimeoutError, SettingsError):
        return False
    finally:
        if transport is not None:
            transport.close()
        if welcome.done() and not welcome.cancelled():
            welcome.exception()  # read, so that nobody warns of it


async def _dial(
    connection: Outbound, host: str, port: int, tls: Tls | None
) -> asyncio.WriteTransport:
    context = None if tls is None else tls.current.dial
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: connection,
        host,
        port,
        ssl=context,
        server_hostname=None if context is None else host,
    )
    return transport
