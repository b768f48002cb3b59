"""Administration: the RAFT.* commands, which hold Raft's semantics and no sockets."""
