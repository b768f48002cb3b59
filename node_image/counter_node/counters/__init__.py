"""The replicated state machine: counters, expiry, and the tables that make every batch and every
repeated request count once. Pure and deterministic.

Rules:
1. The state after an entry depends on the entries up to it and on nothing else: no clock, no
   randomness, no order of hashing.
2. Time is the newest stamp that a leader put into the log; it never goes back. What has expired by
   then is gone before the entry is executed.
3. A value is a signed 64-bit integer. What would leave that range is refused and changes nothing.
4. An entry is executed whole or not at all, and never twice (sessions.py, producers.py).
"""
