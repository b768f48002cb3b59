"""The asyncio face: the source of both. `generators/unasync.py` makes sync/ of it."""
