"""Read a cluster with the rights of the user; this package writes nothing."""
