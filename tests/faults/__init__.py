"""Real node processes under kill -9, SIGSTOP and cut links, with load on all nodes and the books
checked: `make faults MINUTES=30`."""
