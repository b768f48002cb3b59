"""The deterministic core of Raft: events in, (messages, things to persist, committed entries) out.

The rules of the caller (`replica.py` and the simulator obey them; the order matters):

1. Feed events: `tick()` once per clock tick, `step(sender, message)` for each message that arrived,
   `propose…`, `read`, `transfer`.
2. `take_messages()` and send them at once, in order. None of them depends on anything that is not
   durable yet. Messages may be lost, doubled, delayed or reordered by the network; the core copes.
3. `take_persist()` when no earlier one is still being written. Write what it holds as one unit,
   make it durable, and only then hand each of its `after` messages on (those addressed to this node
   itself go back into `step`). A crash before that point loses nothing that was promised.
4. `take_committed()`, apply the entries in order to the state machine, `apply_change` for each
   CONFIG entry, then `applied_to(index)`.
5. `take_restore()` before `take_committed()`: an installed snapshot replaces the state machine
   before anything else is applied.

No clock, no randomness, no I/O in here: ticks are events, `randint` is injected, and the same
events give the same bytes. Follows Ongaro's thesis (sections named in the docstrings) and, for
storage that works in parallel, its section 10.2.1."""
