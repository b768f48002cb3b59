"""Every wait of the end-to-end tests by its name, in seconds: what a step may take on 2 busy cores.
Usual values are a third of these."""

READY = 120
"""From `kubectl apply` to three voters, a Service and Redis."""
RECOVERED = 90
"""A pod or process was killed: all voters back and caught up."""
LEADER = 30
SCALED = 150
"""From two to four voters more or less."""
ROLLED = 180
CHILD_BACK = 30
"""A deleted child is made again."""
CACHE = 45
"""Redis has a value, also after it was restarted empty."""
REPLACED = 120
"""A member that lost its disk was removed and a new one is a voter."""
GONE = 60
"""Everything that belonged to a deleted CounterCluster."""
OPERATOR = 60
"""An operator pod that was killed is replaced and ready."""
REPORTED = 60
"""Something does not start, or is refused: the condition says why."""
QUORUM_SEEN = 45
"""A majority is gone: the conditions say so."""
ASLEEP = 60
"""spec.hibernated: the last pod has ended."""
MACHINE_LOST = 300
"""A machine died: Kubernetes gives its pods up (about 100 s), then the member is replaced
elsewhere."""
MACHINE_BACK = 120
GAP = 5.0
"""Longest silence, in seconds, that clients may see while a leader is replaced without a word;
usually under 2."""
HANDED_OVER = 2.0
"""The same where leadership is handed over."""
