"""The asyncio face: the source of both. `client/unasync.py` makes sync/ of it."""
