"""The tests of the project; a package, so that the parts of the local cluster import each other by name."""
