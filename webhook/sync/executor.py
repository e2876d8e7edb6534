"""Carries out the plan of one namespace, each write after those it depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.errors import ApiError, Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook.core.actions import AddReferences, NamespacePlan
    from webhook.sync.sources import Content
    from webhook.sync.writes import Writes


class Executor:
    """Makes the writes of plans. ``copy_failed(namespace, secret, error)`` is told of each copy it could not write."""

    def __init__(self, writes: Writes, copy_failed: Callable[[str, str, ApiError], None]) -> None:
        self._writes = writes
        self._copy_failed = copy_failed

    def carry_out(self, namespace: str, plan: NamespacePlan, contents: Mapping[str, Content]) -> None:
        """Make every write of a plan that can be made, each after those it depends on.

        Raises:
            Deposed: before the first write that this process may not make any more.
            ApiError: the first failure; what did not depend on it has been done all the same.
        """
        failures: list[ApiError] = []
        for addition in plan.required:
            self._try(failures, self._writes.add_references, addition, addition.names)
        without_copy = self._apply_copies(failures, namespace, plan, contents)
        for addition in plan.additions:
            self._add_references(failures, addition, without_copy)
        still_referenced: set[str] = set()
        for removal in plan.removals:
            if not self._try(failures, self._writes.remove_references, removal):
                still_referenced.update(removal.names)
        for deletion in plan.deletions:
            if deletion.copy.name not in still_referenced:
                self._try(failures, self._writes.delete_copy, deletion.copy)
        for action in plan.hand_backs:
            self._try(failures, self._writes.hand_back, action)
        if failures:
            # A conflict means that the caches are behind, and the plan with them: worth another look at once.
            raise next((failure for failure in failures if isinstance(failure, Conflict)), failures[0])

    def _apply_copies(
        self, failures: list[ApiError], namespace: str, plan: NamespacePlan, contents: Mapping[str, Content]
    ) -> set[str]:
        """Return the names of the copies that could not be written."""
        failed: set[str] = set()
        where = (namespace, plan.namespace_uid)
        for action in plan.copies:
            if not self._try(failures, self._writes.apply_copy, where, action, contents[action.name]):
                failed.add(action.name)
                self._copy_failed(namespace, action.name, failures[-1])
        return failed

    def _add_references(self, failures: list[ApiError], addition: AddReferences, without_copy: set[str]) -> None:
        names = tuple(name for name in addition.names if name not in without_copy)
        if names:
            self._try(failures, self._writes.add_references, addition, names)

    def _try(self, failures: list[ApiError], write: Callable[..., None], *arguments: Any) -> bool:  # noqa: ANN401
        try:
            write(*arguments)
        except ApiError as error:
            failures.append(error)
            return False
        return True
