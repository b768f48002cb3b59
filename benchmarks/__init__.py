"""Throughput and latency of CounterCluster beside etcd, Redis, hashicorp/raft and PySyncObj, all
started here on loopback: `make bench`."""
