"""What makes committed files from others: the blocking client, joined manifests, reference pages,
pictures, and the picture of the house. Tests fail while such a file is stale."""
