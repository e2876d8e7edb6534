"""What can go wrong here, as one sentence for whoever started it."""

from __future__ import annotations


class ImageFailed(Exception):
    """An image cannot be built, or not be looked into."""
