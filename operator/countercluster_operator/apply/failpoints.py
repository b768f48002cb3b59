"""Places at which the operator dies when a test asks for it: FAILPOINTS=name,name or FAILPOINTS=*
in its environment. Absent, they do nothing.

Dying is starting again in the same process id: nothing in memory is kept, connections are cut, and
the container is not restarted, so that no back-off slows the test. Each place is reached once; what
was reached is handed on in FAILPOINTS_REACHED."""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger("countercluster_operator")

_WANTED = frozenset(os.environ.get("FAILPOINTS", "").split(",")) - {""}


def reach(name: str) -> None:
    if not _WANTED:
        return
    reached = os.environ.get("FAILPOINTS_REACHED", "").split(",")
    if name in reached or not ({name, "*"} & _WANTED):
        return
    os.environ["FAILPOINTS_REACHED"] = ",".join([*reached, name])
    log.info("failpoint: starting again at %s", name)
    os.execv(sys.executable, sys.orig_argv)
