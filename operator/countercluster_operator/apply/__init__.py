"""Writing: the children of a cluster, the one step of a plan, events, and what must be remembered.

Each write may be done again, says what it saw (UID, version), and may be the last before the
operator dies (failpoints.py)."""
