"""Sockets, thin and boring: bytes in, calls to the node; values from the node, bytes out. No
decision about Raft or counters is made here."""
