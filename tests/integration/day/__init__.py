"""Random days of a cluster: what people do, what must be true at the end."""
