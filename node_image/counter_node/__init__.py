"""One node of a CounterCluster: Raft, counters, disk, Redis protocol."""

__version__ = "0.1.0"
