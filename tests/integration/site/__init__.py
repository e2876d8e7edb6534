"""An installation to test: its processes, its namespaces, its ports, and steady work for it."""
