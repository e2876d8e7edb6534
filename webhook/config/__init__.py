"""The configuration document: strict YAML, read with every problem at once, from a file that may change."""
