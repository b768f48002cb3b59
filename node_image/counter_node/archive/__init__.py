"""The archive: snapshots and the committed log in an object store, and a cluster made from it."""
