"""The local cluster: a kind cluster with the project's images, on a bare Linux machine."""
