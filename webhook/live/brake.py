"""Tell whether the controller would hold the removals of a configuration, and how they are confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.core.brake import Removals, confirm_command, digest, taken_away
from webhook.core.preview.row import Effect
from webhook.core.state_document import STATE_SUFFIX
from webhook.live.secrets import read_state

if TYPE_CHECKING:
    from webhook.core.brake import PastRemoval
    from webhook.core.preview.outcome import Preview
    from webhook.live.reader import Reader
    from webhook.live.release import Installed


def held_warning(reader: Reader, installed: Installed, preview: Preview) -> str:
    """Return a sentence about removals that are, or would be, held; empty where none are."""
    if not preview.copies or all(row.effect is not Effect.DELETE for row in preview.rows):
        return ""
    state, configuration = read_state(reader, installed), installed.configuration
    name, past = digest(configuration), state.accepted.past if state.accepted is not None else ()
    if state.held is not None and state.held.digest == name:
        return _warning(installed, Removals(state.held.copies, state.held.total), name, "are")
    accepted = state.accepted.configuration if state.accepted is not None else installed.running
    lost = sum(len(taken_away(accepted, configuration, namespace) & names) for namespace, names in preview.copies)
    return _would_be_held(installed, Removals(lost, sum(len(names) for _, names in preview.copies)), past, name)


def _would_be_held(installed: Installed, removals: Removals, past: tuple[PastRemoval, ...], name: str) -> str:
    return _warning(installed, removals, name, "would be") if removals.exceeds(past) else ""


def _warning(installed: Installed, removals: Removals, name: str, verb: str) -> str:
    command = confirm_command(installed.release.namespace, f"{installed.fullname}{STATE_SUFFIX}", name)
    return (
        f"{removals.copies} of {removals.total} copies go by this configuration, so their removals {verb} held "
        f"and they stay; if they are meant, confirm them: {command}"
    )
