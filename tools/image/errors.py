"""The error of this package, as one sentence for the person who started it."""

from __future__ import annotations


class ImageFailed(Exception):
    """An image cannot be built, or not be looked into."""
