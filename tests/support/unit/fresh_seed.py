"""A seed that no run had before, and that its name shows, so that what it finds can be repeated."""

from __future__ import annotations

import os
import random

# Processes that share a run collect the same tests.
FRESH = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).randrange(10**9)
