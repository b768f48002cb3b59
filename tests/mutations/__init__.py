"""Deliberate breakages of the node, each switched on by name, and what of the suite finds each:
`make mutations`."""
