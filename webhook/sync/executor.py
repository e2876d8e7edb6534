"""Carry out the plan of one namespace, each write after those that it depends on.

The writes of one turn are limited, so that the worker returns to the other namespaces.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from webhook.errors import ApiError, Conflict, Fenced
from webhook.sync.writes import LeadershipLost, Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.rules.actions import AddReferences, ApplyCopy, NamespacePlan
    from webhook.sync.source import Content
    from webhook.sync.writes import Writes


WRITES = 20
SECONDS = 1.0
"""Writes and seconds of one turn. The rest of the plan waits for the next turn of the namespace."""

MIN_WRITES = 5
"""Writes before a turn ends because its worker is needed: constant changes must not reduce turns to one write."""

REQUIRED_BEFORE_COPIES = 10
"""References that are written before the copies, because Pods cannot be created without them: half of a turn's budget.
"""


SIMILAR_FAILURES = 2
"""Failures of the same kind in a row after which the rest of a plan is left for a later try."""


class _RepeatedFailure(Exception):
    """The rest of the plan would fail as the last two writes did."""


class Budget:
    """The budget of one turn. At least one write is always made.

    ``wrote()`` is called after each write that succeeded. ``needed()`` returns whether the worker is needed for another
    namespace, or for a new plan of this one.
    """

    def __init__(
        self,
        wrote: Callable[[], None],
        needed: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wrote = wrote
        self._needed = needed
        self._clock = clock
        self._ends = clock() + SECONDS
        self._writes = 0

    def allows_another(self) -> bool:
        """Return True if one more write may be made in this turn, and count it."""
        late = self._clock() >= self._ends
        if self._writes and (late or self._writes >= WRITES):
            return False
        if self._writes >= MIN_WRITES and self._needed():
            return False
        self._writes += 1
        return True


class Executor:
    """Makes the writes of plans.

    ``copy_failed(namespace, secret, error)`` is called for each copy that it could not write. ``complete(namespace,
    content)`` adds to a content what only this namespace gets, and raises ApiError if that fails.
    """

    def __init__(
        self,
        writes: Writes,
        copy_failed: Callable[[str, str, ApiError], None],
        complete: Callable[[str, Content], Content] = lambda _, content: content,
    ) -> None:
        self._writes = writes
        self._copy_failed = copy_failed
        self._complete = complete

    def carry_out(
        self, namespace: str, plan: NamespacePlan, contents: Mapping[str, Content], budget: Budget | None = None
    ) -> None:
        """Make every write of a plan that can be made, each after those that it depends on.

        Raises:
            LeadershipLost: before the first write that this process must not make any more.
            Unfinished: there is more to write, and the budget is spent.
            ApiError: the first failure. Independent writes were made nevertheless, unless a second write in a row
                failed in the same way. Then the rest would fail too.
        """
        failures = _Failures(budget)
        try:
            self._carry_out(failures, namespace, plan, contents)
        except _RepeatedFailure:
            failures.raise_first()
        except Unfinished:
            # A failure counts more than the spent budget: the name has to back off, and is planned again then.
            failures.raise_first()
            raise
        failures.raise_first()

    def _carry_out(
        self, failures: _Failures, namespace: str, plan: NamespacePlan, contents: Mapping[str, Content]
    ) -> None:
        # Pods are refused without the required references. But a thousand of them must not keep the copies from being
        # written in the first turn.
        first, rest = plan.required[:REQUIRED_BEFORE_COPIES], plan.required[REQUIRED_BEFORE_COPIES:]
        for addition in first:
            self._try(failures, self._writes.add_references, addition, addition.names)
        without_copy = self._apply_copies(failures, namespace, plan, contents)
        for addition in rest:
            self._try(failures, self._writes.add_references, addition, addition.names)
        for addition in plan.additions:
            self._add_references(failures, addition, without_copy)
        still_referenced: set[str] = set()
        # Read now, and not from the caches: a person may have created a Secret that no watch has reported yet.
        possibly_existing = self._possibly_existing(failures, namespace, plan)
        for removal in plan.removals:
            # A reference stays if it is not proven that its Secret is gone: it may be the reference of a person to a
            # Secret of their own.
            if not possibly_existing.isdisjoint(removal.without_copy) or not self._try(
                failures, self._writes.remove_references, removal
            ):
                still_referenced.update(removal.names)
        # References first, so that no ServiceAccount names a Secret that does not exist.
        for deletion in plan.deletions:
            if deletion.copy.name not in still_referenced:
                self._try(failures, self._writes.delete_copy, deletion.copy)
        # Last, because they are not urgent: they change the ownership of a list, not the list.
        for action in plan.hand_backs:
            self._try(failures, self._writes.hand_back, action)

    def _possibly_existing(self, failures: _Failures, namespace: str, plan: NamespacePlan) -> set[str]:
        """Return the names for which a Secret may exist after all, so that references to them stay."""
        names = {name for removal in plan.removals for name in removal.without_copy}
        return {name for name in sorted(names) if not self._try(failures, self._writes.prove_absent, namespace, name)}

    def _apply_copies(
        self, failures: _Failures, namespace: str, plan: NamespacePlan, contents: Mapping[str, Content]
    ) -> set[str]:
        """Return the names of the copies that could not be written."""
        failed: set[str] = set()
        where = (namespace, plan.namespace_uid)
        for action in plan.copies:
            if not self._try(failures, self._apply_copy, where, action, contents[action.name]):
                failed.add(action.name)
                # The references to it wait, so that a ServiceAccount does not name a Secret that is not there.
                self._copy_failed(namespace, action.name, failures.last)
        return failed

    def _apply_copy(self, where: tuple[str, str], action: ApplyCopy, content: Content) -> None:
        self._writes.apply_copy(where, action, self._complete(where[0], content))

    def _add_references(self, failures: _Failures, addition: AddReferences, without_copy: set[str]) -> None:
        names = tuple(name for name in addition.names if name not in without_copy)
        if names:
            self._try(failures, self._writes.add_references, addition, names)

    def _try(self, failures: _Failures, write: Callable[..., None], *arguments: Any) -> bool:  # noqa: ANN401
        # LeadershipLost and Unfinished are not ApiErrors: they pass through, and end the whole plan.
        failures.check_before_write()
        try:
            write(*arguments)
        except Fenced:
            # The Lease was lost after the check before the write, so the namespace has not failed.
            raise LeadershipLost from None
        except ApiError as error:
            failures.add(error)
            return False
        failures.succeeded()
        return True


class _Failures:
    """The failures of one plan so far, and the budget for its writes."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._errors: list[ApiError] = []
        self._similar = 0

    @property
    def last(self) -> ApiError:
        return self._errors[-1]

    def check_before_write(self) -> None:
        if self._similar >= SIMILAR_FAILURES:
            raise _RepeatedFailure
        if self._budget is not None and not self._budget.allows_another():
            raise Unfinished

    def add(self, error: ApiError) -> None:
        # Only failures in a row: after a success between them, each may concern its own object alone.
        self._similar = self._similar + 1 if self._similar and _is_similar(self.last, error) else 1
        self._errors.append(error)

    def succeeded(self) -> None:
        self._similar = 0
        if self._budget is not None:
            self._budget.wrote()

    def raise_first(self) -> None:
        """Raise the most informative failure, if there is any."""
        if self._errors:
            # A conflict means that the caches are behind, and so is the plan: plan again immediately.
            raise next((failure for failure in self._errors if isinstance(failure, Conflict)), self._errors[0])


def _is_similar(one: ApiError, other: ApiError) -> bool:
    # Without the message: it names the object, and for a quota its present usage.
    return (type(one), one.status, one.reason) == (type(other), other.status, other.reason)
