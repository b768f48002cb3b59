"""The fast lane: increments and reads of one counter, which are nearly all commands, and scripts of
limiters, without a line of Python for each on their way.

    lane.pyx        from a connection's bytes to one bundle a turn, and from its replies back to
                    bytes
    increments.pyx  executes them (its twin in Python: counters/increments.py)
    limiters.pyx    EVALSHA in the lane, and replies that are lists
    scripts.pyx     the commonest of the engine of scripts (script/engine.py)
    commands.pyx    the commonest commands of scripts (counters/scripts.py)
    table.pyx       looks counters up in the parts of their table (counters/table.py)
    syncer.pyx      waits for the disk on a thread that never needs the interpreter (disk_worker.py)
    pure.py         what the rest of the node may expect of a lane, and what stands in for it where
                    none is compiled (counter_node/compiled.py):
                    then every command goes the ordinary way (resp/pipeline.py), with the same
                    replies
    lanes.py        which of the two it is

1. The lane takes what a connection sent only if it is nothing but whole `INCR key`, or nothing but
   whole `GET key`, or nothing but whole EVALSHA of few and short words, in RESP arrays. And only
   while the connection's pipeline is plain (`Pipeline.plain`: `LaneEntry.open` has the newest
   answer). Reads are not taken while writes are unanswered, nor writes while reads are: the order
   of a connection is that of resp/pipeline.py.
2. All that the lane took in a turn goes to the gateway as one bundle, and its replies come back as
   one. What a turn costs is so shared by the commands of all connections.
3. When anything else arrives from a connection, what it has in the lane first takes its place among
   what went the ordinary way: its replies are written in the order of the commands, whichever way
   these went. The same happens when a later command is answered first (LOADING, say).
"""
