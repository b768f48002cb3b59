"""What a node says of itself: the status object, pages, metrics, INFO, CLIENT and the map of the
cluster. These modules read the node and change nothing."""
