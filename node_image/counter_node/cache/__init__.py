"""Publishes committed values to Redis, the cheap and slightly stale way to read."""
