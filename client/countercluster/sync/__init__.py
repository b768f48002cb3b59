"""The blocking face. counters.py, lane.py and cache.py are made from those in aio/ by
generators/unasync.py; waiting.py is written by hand."""
