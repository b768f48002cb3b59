"""`python -m counter_node`: one node. Exit codes: exits.py."""

from __future__ import annotations

import gc
import os
import resource
import sys

import uvloop

from counter_node import logs, memory, settings
from counter_node.counters.machine import SnapshotFormatError, UnknownOperationError
from counter_node.exits import Exit
from counter_node.net.descriptors import TooFewDescriptors
from counter_node.node.node import serve
from counter_node.security.acl import AclError
from counter_node.security.tls import CertificateError
from counter_node.storage import (
    DamagedError,
    DiskFailedError,
    DiskFullError,
    InvariantError,
    StorageError,
)


def main() -> int:
    try:
        found = settings.load(sys.argv[1:], os.environ)
    except settings.SettingsError as error:
        print(f"counter_node: {error}", file=sys.stderr)
        return Exit.SETTINGS
    # What a turn makes is gone by its end; without this the collector would look at it every 700
    # objects, and at everything else now and then.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, most)
    )  # max_clients is the limit, and not 1,024 descriptors
    gc.set_threshold(50_000, 20, 20)
    memory.settle()
    listener = logs.configure(found.log_level, node=found.name)
    try:
        uvloop.run(serve(found))
    except DamagedError as error:
        logs.log.critical("%s", error)
        return Exit.DAMAGED
    except (DiskFailedError, DiskFullError) as error:
        logs.log.critical("%s", error)
        return Exit.DISK
    except (SnapshotFormatError, UnknownOperationError) as error:
        logs.log.critical("this version is too old for its data: %s", error)
        return Exit.TOO_OLD
    except InvariantError:
        logs.log.critical("ended by an error of its own; please report it", exc_info=True)
        return Exit.BUG
    except (StorageError, CertificateError, AclError, TooFewDescriptors, OSError) as error:
        logs.log.critical("cannot start: %s", error)
        return Exit.SETTINGS
    except Exception:
        logs.log.critical("ended by an error of its own; please report it", exc_info=True)
        return Exit.BUG
    finally:
        listener.stop()
    return Exit.STOPPED


if __name__ == "__main__":
    sys.exit(main())
