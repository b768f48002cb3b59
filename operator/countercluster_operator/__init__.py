"""The operator of CounterClusters: kopf watches, a queue reconciles, a pure plan decides."""

__version__ = "0.1.0"
