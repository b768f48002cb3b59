"""The images that the project ships: recipes, pinned bases, the list of what is in each (SBOM),
and the scan for vulnerabilities."""
