"""What there is: the API server and the nodes are asked, their answers judged and made into values.

observe.py asks, observed.py holds what was seen at one moment. Nothing is decided here, and nothing
that a node says is believed beyond its bounds (replies.py, statuses.py). Imports of the operator's
rooms nothing but the basics at the top."""
