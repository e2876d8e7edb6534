"""Read the configuration document: strict YAML, with all problems reported together, from a file that may change."""
