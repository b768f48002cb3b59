"""One member without sockets, disk and clock: Raft, the state machine, the gateway and log time
joined. Pure, so that the simulator runs exactly what production runs.

    replica.py      the turn: what the driver puts in, what it gets out
    gateway.py      one batch of writes in flight, for all clients of this node
    log_time.py     log time by this node's own running clock, and the note of it
    timekeeper.py   what a leader makes of the members' clocks (agreed_time.py, rate_meter.py)
    relief.py       what is let through on a full disk
    tail.py         which batches are in the log already
"""
