"""The one logger: a JSON object a line on stderr, written by a thread so that a stuck reader of
stderr never stops the loop.

When the queue is full lines are dropped and counted; the count is in the next line that gets
through."""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
import time

log = logging.getLogger("counter_node")

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
}


class JsonFormatter(logging.Formatter):
    """`log.info("text", extra={"index": 7})` → {"time": …, "level": "info", "msg": "text", "index":
    7}."""

    def __init__(self, constant: dict[str, str]) -> None:
        super().__init__()
        self._constant = constant

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
        }
        line.update(self._constant)
        line.update((k, v) for k, v in vars(record).items() if k not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class DroppingQueueHandler(logging.handlers.QueueHandler):
    """Never blocks: a full queue drops the line."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # formatted by the thread

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self.dropped:
                record.dropped = self.dropped
            self.queue.put_nowait(record)
            self.dropped = 0
        except queue.Full:
            self.dropped += 1


def configure(level: str, **constant: str) -> logging.handlers.QueueListener:
    """Sets the logger up and starts its thread; `stop()` the returned listener at exit to get the
    last lines out."""
    target = logging.StreamHandler(sys.stderr)
    target.setFormatter(JsonFormatter(constant))
    lines: queue.Queue[logging.LogRecord] = queue.Queue(10_000)
    root = logging.getLogger()
    root.handlers = [DroppingQueueHandler(lines)]
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())
    listener = logging.handlers.QueueListener(lines, target)
    listener.start()
    return listener
