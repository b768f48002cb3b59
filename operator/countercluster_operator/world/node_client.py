"""Asks one node at its admin port, within bounds of time and of bytes (replies.py): whatever it
answers costs one worker `timeout_s` at most."""

from __future__ import annotations

import asyncio
import ssl

from countercluster_operator import names
from countercluster_operator.world.replies import Reply, command

CONNECT_S = 2.0
CHUNK = 16 << 10


async def ask(
    ip: str,
    server_name: str,
    context: ssl.SSLContext | None,
    *wanted: str,
    timeout_s: float,
    port: int = names.ADMIN,
) -> bytes | int | None:
    """The reply to one RAFT.* command; with a context by mutual TLS. Raises replies.Refusal and
    Hostile, OSError, TimeoutError."""
    reply = Reply()
    async with asyncio.timeout(timeout_s + CONNECT_S):
        async with asyncio.timeout(CONNECT_S):
            host = server_name if context is not None else None
            reader, writer = await asyncio.open_connection(
                ip, port, ssl=context, server_hostname=host, limit=CHUNK
            )
        try:
            writer.write(command(*wanted))
            while True:
                chunk = await reader.read(CHUNK)
                if not chunk:
                    raise ConnectionError("it closed the connection before it had answered")
                if reply.feed(chunk):
                    return reply.value
        finally:
            writer.transport.abort()  # it is not asked to agree to the end
