"""What tests of the queue have in common."""

from __future__ import annotations

from webhook.sync.queue import WorkQueue


def take_all(queue: WorkQueue) -> list[str]:
    """Take and give back every name that waits, and return them in their order."""
    taken = []
    while len(queue):
        name = queue.get()
        assert name is not None
        queue.done(name)
        taken.append(name)
    return taken
