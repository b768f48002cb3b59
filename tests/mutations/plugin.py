"""`pytest -p tests.mutations.plugin` with MUTATION=<name>: the whole run is about a node that is
broken in this way."""

from __future__ import annotations

import os

from tests.mutations.catalogue import CATALOGUE

if name := os.environ.get("MUTATION"):
    CATALOGUE[name].apply(setattr)
