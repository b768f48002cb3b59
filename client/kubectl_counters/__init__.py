"""`kubectl counters`: look at CounterClusters and work with them, through the Kubernetes API
alone."""
