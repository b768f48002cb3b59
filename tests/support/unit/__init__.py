"""What unit tests share: worlds in memory, made-up nodes, situations."""
