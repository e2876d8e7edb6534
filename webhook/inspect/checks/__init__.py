"""Check the health of an installation: each possible fault has a code and a section in docs/check.md."""
