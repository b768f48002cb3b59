"""docs/reference/commands.md from the table of commands: `python generators/commands_page.py`. A
test fails while the page is stale."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from counter_node.counters import listing, producers, script_table, sessions, state
from counter_node.resp import arguments, keyed, limits, serving, transactions
from counter_node.resp.commands import BY_NAME
from counter_node.resp.session import Command

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands.md"
GROUPS: Final = {
    "counters": "Counters",
    "expiry": "Expiry",
    "keyspace": "Keys",
    "transactions": "Transactions",
    "scripting": "Scripts",
    "connection": "The connection",
    "cluster": "Cluster mode",
    "server": "The server",
    "administration": "Administration (admin port only)",
}

INTRODUCTION: Final = """\
# Commands

Made from the table in `node_image/counter_node/resp/commands.py`; a test fails when this page is stale.

A node speaks the Redis protocol, RESP2 and RESP3, on its client port. Connect any Redis client to any node: every node answers everything, and what
it tells of a counter is linearizable. Names, replies and error texts are those of Redis, compared with a real one byte for byte
(`tests/unit/resp/test_differential.py`). "Since" is the version of Redis that brought a command.

## Errors

| reply | meaning | what to do |
|---|---|---|
| `-LOADING …` | certainly not executed: no leader was known for some seconds | send it again; most clients do by themselves |
| `-UNKNOWN …` | sent to the leader, and not known whether it was executed; always within 4 s | send it again only if it went as `IDMP` |
| `-OOM …` | refused: the limit that it names is reached | make room |
| `-IDMPEXPIRED …` | not executed now; the producer or the sequence is not remembered (any more) | begin as a new producer at 1 |
| `-ERR …` and Redis's other errors | refused for the reason given | change the command |

A protocol error (`-ERR Protocol error: …`) ends the connection, as in Redis; no other error does.

## Counting once

`IDMP <producer> <sequence> <command…>` executes a command that writes once, however often it is sent, to whichever node. The same producer and
sequence get the first reply again, be it an error. `IDMP <producer> <sequence> EXEC` does so for the transaction that it ends.

- A producer is any name that nobody else uses; a random one for each process is best. It starts with sequence 1,
  and sends others when that one is answered: of a producer that is not known yet no other is executed.
- Sequences may arrive in any order within the newest {window:,}. An older one is refused with `-IDMPEXPIRED`.
- A producer is remembered until it has sent nothing for {producer_hours} hours of the cluster's time. Do not repeat a request after that.
- What is refused before its place is read takes no sequence: an unknown command, a wrong number of words, a command that only reads.
"""

LIMITS: Final = """\
## Limits

| what | most | beyond it |
|---|---|---|
| counters | {keys:,} | `-OOM too many counters` |
| bytes of the state | made from the memory limit (`max_bytes`) | `-OOM the counters take …`: nothing new is taken |
| counters of a user, and their bytes | `auth.users[].limits` | `-OOM user … has … counters of its own …`: it makes none; what exists goes on |
| commands a second of a user | `auth.users[].limits`, on each node | `-ERR user … may give … commands a second …`; it was not executed |
| counters that KEYS and SCAN of one transaction look at | {scanned:,} | `-ERR KEYS and SCAN look at …` |
| bytes of an answer of KEYS | {listing:,} | `-ERR the names that KEYS found take more than …` |
| counters on a node that tells keys by slot | {scanned:,} | `-ERR … use SCAN` |
| bytes of a key | {key_bytes:,} | `-ERR key of … bytes` |
| bytes of a request | {request_bytes:,} | protocol error |
| words of a request | {words:,} | protocol error |
| commands in a transaction | {queued:,} | `-ERR transaction of more than … commands` |
| bytes in a transaction | {queued_bytes:,} | `-ERR transaction of more than … bytes` |
| bytes of answers about the node (INFO, COMMAND, …) in a transaction | {queued_bytes:,} | `-ERR transaction whose answers about the node …` |
| keys that a transaction looks at (KEYS: all; SCAN: its COUNT) | {scanned_at_most:,} | `-ERR transaction that looks at more than … keys` |
| bytes of a command or transaction in the log | `spec.settings.maxEntryMiB`, 8 MiB | `-ERR a command or transaction of … bytes …` |
| keys in one answer of SCAN | {page:,} | fewer are listed than COUNT asks for |
| producers | {producers:,} of one user, twice as many with all others | `-OOM too many producers of this user`; a living one is never forgotten |
| a sequence ahead of the newest | {ahead:,} | `-ERR sequence … is more than …`; it was not executed |
| remembered requests | {window:,} for each producer, {slots:,} in all | `-OOM too many remembered requests` |
| bytes of a remembered reply | {reply_bytes:,}, {other_mib} MiB in all | executed once; when repeated, an error says that the reply was not kept |
| bytes of a connection's name | {name_bytes} | `-ERR Client names of … bytes` |
| a script | [scripts](scripts.md) | `-ERR script_steps is …`; nothing of it was done |
| scripts of SCRIPT LOAD | {loaded:,}, and {loaded_mib} MiB of texts | `-OOM too many loaded scripts` |
| scripts of EVAL that EVALSHA finds | {sent:,}, and {sent_mib} MiB of texts | the one called least recently is forgotten |
| gateways (nodes and their restarts) | {sessions:,}, {session_hours} h after the last batch | the one idle longest registers again |
"""

DIFFERENCES: Final = """\
## Where it differs from Redis

- A value is a signed 64-bit integer. What would store anything else is refused: `-ERR value is not an integer or out of range`. There are no other
  types, and one database.
- The time that decides about expiry is the leader's, carried in the log. `TTL` and `PTTL` are as of the newest entry of the log.
- A `WATCH` is forgotten after an hour, or when 10,000 others began after it; its `EXEC` then answers null as if a key had changed. One `WATCH` takes
  1,000 keys.
- `KEYS` of more than {scanned:,} counters walks over them while others write, as a loop of `SCAN` does: a key that is there
  all the while is listed once.
- `IDMP` is about a producer of the user who is logged in: the same name of another user is another producer.
- With `spec.auth.strictPatterns` a user's patterns of keys hold for `SCAN`, `KEYS`, `RANDOMKEY`, `DBSIZE`, `INFO` and the
  slots of `CLUSTER`, too. Such a user's listing looks at all counters, in slices; in a transaction or behind writes of a
  pipeline at {scanned:,} at most. `FLUSHALL` is refused to it.
- `SCAN` tells a key that is there during the whole walk exactly once. A cursor means the same on every node.
- `GETEX` of a key that is not there refuses an expiry that is out of range; Redis answers null.
- On the clients' port `READONLY` and `READWRITE` answer `OK`, and nothing is ever redirected: every node serves everything. On the cluster port
  (setting `cluster_port`) a node that does not lead answers `-MOVED`, to reads only if the connection did not say `READONLY`; all slots are in one
  shard, so there is no `-CROSSSLOT`, and `-CLUSTERDOWN` stands where `-LOADING` does elsewhere.
  A node that led and knows no leader answers `-MOVED` to another voter, to reads as well, and shows that one as the master: it may be cut off.
- `CONFIG SET`, `RESETSTAT` and `REWRITE` are refused; settings come from the CounterCluster resource.
- `CLIENT REPLY OFF` and `SKIP` are refused; every command is answered.
- `COMMAND DOCS` tells the `syntax` in one line instead of `arguments`.
- `HELLO` in a transaction changes the protocol of the whole reply of EXEC.
"""


def _row(command: Command) -> str:
    usage = f"{command.name.upper()} {command.syntax}".strip().replace("|", "\\|")
    since = "" if command.ours else command.since
    return f"| `{usage}` | {command.summary} | {since} |"


def _parts() -> Iterator[str]:
    hour_ms = 3_600_000
    yield INTRODUCTION.format(window=producers.WINDOW, producer_hours=producers.TTL_MS // hour_ms)
    for group, title in GROUPS.items():
        rows = [_row(command) for command in BY_NAME.values() if command.group == group]
        yield (
            "\n".join([f"## {title}", "", "| command | meaning | since |", "|---|---|---|", *rows])
            + "\n"
        )
    yield LIMITS.format(
        keys=state.MAX_KEYS,
        key_bytes=arguments.MAX_KEY_BYTES,
        request_bytes=limits.MAX_REQUEST_BYTES,
        words=limits.MAX_ARGUMENTS,
        queued=transactions.MAX_QUEUED,
        queued_bytes=transactions.MAX_QUEUED_BYTES,
        scanned_at_most=transactions.MAX_SCANNED,
        page=keyed.MAX_PAGE,
        producers=producers.MOST,
        ahead=producers.MOST_AHEAD,
        scanned=state.MOST_SCANNED,
        listing=listing.MOST_BYTES,
        window=producers.WINDOW,
        slots=producers.MOST_SLOTS,
        reply_bytes=producers.LARGEST_REPLY,
        other_mib=producers.MOST_OTHER_BYTES >> 20,
        name_bytes=serving.MAX_NAME_BYTES,
        sessions=sessions.MOST,
        loaded=script_table.LOADED,
        loaded_mib=script_table.LOADED_BYTES >> 20,
        sent=script_table.SENT,
        sent_mib=script_table.SENT_BYTES >> 20,
        session_hours=sessions.TTL_MS // hour_ms,
    )
    yield DIFFERENCES.format(scanned=state.MOST_SCANNED)


def page() -> str:
    return "\n".join(_parts())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(page())
