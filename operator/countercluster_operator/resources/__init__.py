"""The children of a CounterCluster: one module a kind, each with its `CHILDREN` (child.py).
registry.py has them all, in order.

Nothing in a pod template depends on the operator's own version, so a new operator restarts no pod.
"""
