"""Scripts: an engine of our own for a subset of Lua 5.1, the same on every replica"""
