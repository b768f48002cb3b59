"""`python -m countercluster_operator`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence

import kopf

from countercluster_operator import __version__
from countercluster_operator.run import settings
from countercluster_operator.run.handlers import register
from countercluster_operator.run.runtime import Runtime

WRONG_SETTING = 2
_OURS = frozenset(
    {"cluster", "run", "step", "pod", "node_id", "children", "identity", "again_in_s"}
)


class JsonFormatter(logging.Formatter):
    """One object a line; only our own extras, as kopf attaches whole objects."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update((k, v) for k, v in vars(record).items() if k in _OURS)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs(level: str) -> None:
    target = logging.StreamHandler(sys.stderr)
    target.setFormatter(JsonFormatter())
    logging.getLogger().handlers = [target]
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("countercluster_operator").setLevel(level.upper())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="countercluster_operator",
        description="The operator of CounterClusters. It takes no arguments; its settings are "
        "environment variables:",
        epilog="\n".join(f"{name:20} {text}" for name, text in settings.VARIABLES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"countercluster_operator {__version__}"
    )
    parser.parse_args(arguments)
    try:
        found = settings.load()
    except settings.SettingsError as error:
        print(f"countercluster_operator: {error}", file=sys.stderr)
        return WRONG_SETTING
    configure_logs(found.log_level)
    registry = kopf.get_default_registry()  # it has the log-in handlers
    register(registry, Runtime(found))
    kopf.run(
        registry=registry,
        standalone=True,
        clusterwide=not found.namespaces,
        namespaces=list(found.namespaces),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
