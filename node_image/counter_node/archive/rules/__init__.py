"""The archive without a store: names, the bytes of objects, what to write next, what to keep, and
what a restore needs. Pure."""
