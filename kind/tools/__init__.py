"""What builds programs, packages and images, for the local cluster and for tests: a store of what
was made, Go and Debian, the engine, and what this machine has."""
