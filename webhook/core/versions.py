"""Compare resourceVersions of one kind of object.

Source: KEP-5504 (resourceVersions of one resource are decimal numbers that grow with each write).
"""

from __future__ import annotations


def is_older(candidate: str, known: str) -> bool:
    """Return whether a resourceVersion is older than another one; False if one of them is not a number."""
    return candidate.isdecimal() and known.isdecimal() and int(candidate) < int(known)
