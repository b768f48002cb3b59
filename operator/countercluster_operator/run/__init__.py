"""Watching and running: the watches' events become passes over clusters, one at a time each.

handlers.py and runtime.py fill workqueue.py; the leader of lease.py works it off; reconcile.py is
one pass: see, decide, write. How many clusters may do something costly at once is decided here too
(turns.py), as only this room knows of more than one cluster."""
