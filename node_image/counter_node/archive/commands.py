"""What each command of `python -m counter_node.archive` does: an answer for JSON, and an exit
code."""

from __future__ import annotations

import argparse
import datetime
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from counter_node.archive import prune as pruning
from counter_node.archive import restore as restoring
from counter_node.archive.destination import keys_from
from counter_node.archive.node_source import NodeSource, connect
from counter_node.archive.reader import UNREADABLE, Reader
from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.objects import Keep
from counter_node.archive.rules.retention import Policy
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.service import Service, Status, write_status
from counter_node.archive.source import DataDirectory
from counter_node.archive.stores import probe
from counter_node.archive.uploader import Uploader
from counter_node.archive.verify import verify

OK, WRONG = 0, 3
Answer = tuple[Any, int]
_HISTORY_BYTES: Final = 8


def list_(reader: Reader, options: argparse.Namespace) -> Answer:
    found = reader.histories()
    chosen = [c for h, c in sorted(found.items()) if options.history in ("", h)]
    answers = [_described(reader, contents) for contents in chosen]
    wrong = any(answer["problems"] or answer["notWhole"] for answer in answers)
    return answers, WRONG if wrong else OK


def _described(reader: Reader, contents: Contents) -> dict[str, Any]:
    """Of what cannot be read `problems` says why, and the rest is there all the same."""
    problems: list[str] = []
    snapshots = reader.snapshots(contents, passed_over=UNREADABLE)
    record = _or_problem(problems, reader.lineage, contents.history) if contents.lineage else None
    return {
        "history": contents.history,
        "clusterId": record.cluster_id if record else "",
        "lineage": [
            {"id": h.id, "index": h.index, "reason": h.reason} for h in record.lineage
        ] if record else [],
        "snapshots": [
            {
                "index": manifest.index,
                "term": manifest.term,
                "time": _time(manifest.utc_ms),
                "bytes": manifest.state_bytes,
                "storedBytes": sum(part.size for part in manifest.parts),
            }
            for _, manifest in sorted(snapshots.whole.items())
        ],
        "notWhole": snapshots.damaged,
        "logObjects": len(contents.logs),
        "logBytes": sum(contents.log_sizes.values()),
        "lastIndex": _last_index(reader, contents, problems),
        "kept": {
            name: {"index": keep.index, "time": _time(keep.utc_ms), "reason": keep.reason}
            for name in contents.keeps
            if (keep := _or_problem(problems, reader.keep, contents.history, name)) is not None
        },
        "problems": problems,
    }  # fmt: skip


def _last_index(reader: Reader, contents: Contents, problems: list[str]) -> int:
    """Of the newest log object that can be read."""
    for first in reversed(contents.logs):
        piece = _or_problem(problems, reader.log, contents.history, first)
        if piece is not None:
            return piece.facts.last
        if first in contents.passed:
            passed = _or_problem(problems, reader.passed, contents.history, first)
            if passed is not None:
                return passed.facts.last
    return 0


T = TypeVar("T")


def _or_problem(problems: list[str], read: Callable[..., T], *place: Any) -> T | None:
    """None, and the reason, for an object that cannot be read."""
    try:
        return read(*place)
    except UNREADABLE as error:
        problems.append(str(error))
        return None


def verify_(reader: Reader, options: argparse.Namespace) -> Answer:
    verdict = verify(reader, _contents(reader, options))
    answer = {
        "history": verdict.history,
        "firstIndex": verdict.first,
        "lastIndex": verdict.last,
        "time": _time(verdict.utc_ms),
        "snapshots": verdict.snapshots,
        "objects": verdict.objects,
        "gaps": verdict.gaps,
        "problems": verdict.problems,
    }
    return answer, WRONG if verdict.problems else OK


def restore_(reader: Reader, options: argparse.Namespace) -> Answer:
    contents = _contents(reader, options)
    found = restoring.restore(reader, contents, options.at, as_far=options.as_far_as_possible)
    counts = found.machine.counts()
    answer = {
        "history": found.history,
        "clusterId": found.cluster_id,
        "index": found.index,
        "term": found.term,
        "time": _time(found.utc_ms),
        "fromSnapshot": found.base,
        "entries": found.entries,
        "counters": counts["keys"],
        "stoppedBefore": found.stopped,
        "warnings": found.warnings,
    }
    if not options.dry_run:
        history = secrets.token_hex(_HISTORY_BYTES)
        member = restoring.NewMember(options.name, options.advertise_peer, options.advertise_resp)
        node_id = restoring.write_directory(
            found, options.into, options.cluster_id, member, history
        )
        answer |= {
            "directory": str(options.into),
            "newHistory": history,
            "nodeId": f"{node_id:016x}",
        }
    return answer, OK


def prune_(reader: Reader, options: argparse.Namespace) -> Answer:
    contents = _contents(reader, options)
    names = pruning.planned(reader, contents, Policy(options.window, options.least))
    if options.dry_run:
        return {"history": contents.history, "wouldDelete": names}, OK
    deleted, refused = pruning.prune(reader, names)
    return {"history": contents.history, "deleted": deleted, "refused": refused}, OK


def keep_(reader: Reader, options: argparse.Namespace) -> Answer:
    contents = _contents(reader, options)
    found = restoring.restore(reader, contents, options.at)
    record = Keep(found.index, found.machine.time_ms, found.utc_ms, options.reason)
    pruning.keep(reader, contents, options.name, record)
    answer = {"kept": options.name, "index": record.index, "time": _time(record.utc_ms)}
    return {"history": contents.history, **answer}, OK


def release_(reader: Reader, options: argparse.Namespace) -> Answer:
    contents = _contents(reader, options)
    pruning.release(reader, contents, options.name)
    return {"history": contents.history, "released": options.name}, OK


def upload_(reader: Reader, options: argparse.Namespace) -> Answer:
    if not options.only_uploader:
        probe(reader.store)
    source = DataDirectory(options.directory)
    uploader = Uploader(reader.store, source, reader.keys)
    try:
        done = uploader.run()
    finally:
        uploader.close()
    there = uploader.there
    answer = {
        "history": source.history,
        "lastIndex": there.end if there else 0,
        "snapshot": there.snapshot if there else 0,
        "behind": uploader.behind,
        "wants": done.wants,
    }
    return answer, WRONG if uploader.behind else OK


def run_(reader: Reader, options: argparse.Namespace) -> Answer:
    """Ends by a signal, or by an ArchiveError."""

    def source() -> NodeSource:
        return NodeSource(connect(options.node, options.tls))

    def keys() -> Keys:
        return keys_from(options.keys, options.key, accept_unencrypted=options.accept_unencrypted)

    service = Service(
        reader.store, source, keys, interval_s=options.interval, only_uploader=options.only_uploader
    )
    said = ""

    def note(status: Status) -> None:
        nonlocal said
        if options.status is not None:
            write_status(options.status, status)
        if (status.error or status.wants) != said:
            said = status.error or status.wants
            print(f"archive: {said or 'all is well again'}", file=sys.stderr, flush=True)

    service.on_status = note
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service.run(stop)
    return msgspec.structs.asdict(service.status), OK


def _contents(reader: Reader, options: argparse.Namespace) -> Contents:
    return reader.contents(options.history) if options.history else reader.choose()


def _time(utc_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
