"""Whether an installation is healthy: each thing that can be wrong with it has a code and a page in docs/check.md."""
