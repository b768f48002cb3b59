#!/usr/bin/env python3
"""Brings a local kind cluster up on any machine: see docs/operating/local-cluster.md, or --help."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from kind.cli import main

    sys.exit(main())
