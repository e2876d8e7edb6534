"""What tests of the queue have in common."""

from __future__ import annotations

from webhook.sync.queue import WorkQueue


def is_idle(queue: WorkQueue) -> bool:
    """No name waits or is handled; names that back off do not count."""
    state = queue.state()
    return not state.waiting and not state.working


def take_all(queue: WorkQueue) -> list[str]:
    """Take and give back every name that waits, and return them in their order."""
    taken = []
    while queue.state().waiting:
        name = queue.get()
        assert name is not None
        queue.done(name)
        taken.append(name)
    return taken
