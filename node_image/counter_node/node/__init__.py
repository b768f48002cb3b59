"""One node put together, and what keeps it going: its life and its turns, the thread for the disk,
snapshots taken and sent."""
