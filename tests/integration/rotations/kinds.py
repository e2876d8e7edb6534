"""The kinds of rotations: what happens during one of them, at random points."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.rotations.lane import REPOSITORIES, Lane
from tests.unit.registries.registry import Registry, authorization_of
from webhook.rules.rollout import HoldReason, ProofOutcome, Stage, Verb


def good(lane: Lane) -> None:
    """Each registry accepts the credential."""
    content = lane.make("good")
    lane.rotate(content, ProofOutcome.PROVED)
    lane.until_end()
    lane.measure_verdict(content)


def wrong(lane: Lane) -> None:
    """One of the two registries refuses the login; a person may try to promote it nevertheless."""
    _refused(lane, lane.make("wrong", wrong=lane.random.randrange(2)))


def denied(lane: Lane) -> None:
    """The credential logs in, and lacks the right to one repository, which is named or only that of a Pod."""
    _refused(lane, lane.make("denied", denied=lane.random.randrange(len(REPOSITORIES))))


def _refused(lane: Lane, content: str) -> None:
    lane.rotate(content, ProofOutcome.REFUSED)
    lane.until_end()
    lane.measure_verdict(content)
    if lane.random.random() < 0.5:
        lane.ask(Verb.PROMOTE)


def down(lane: Lane) -> None:
    """One registry is down; it comes back, or a person promotes the rotation without a proof."""
    number = lane.random.randrange(2)
    registry = lane.registries[number]
    port = registry.server_address[1]
    registry.close()
    content = lane.make("good")
    put_at = lane.rotate(content, ProofOutcome.UNKNOWN)
    lane.until_end()
    held_at = next(at for at, view in lane.track.views if (view.stage, view.proposed) == (Stage.HELD, content))
    lane.measure("held while a registry is down", put_at, held_at)
    is_promoted = lane.random.random() < 0.5
    if is_promoted:
        lane.ask(Verb.PROMOTE)
        lane.until_end()
    lane.registries[number] = Registry(lane.site.certificate, port, registry.behaviour)
    lane.plan.judge(content, ProofOutcome.PROVED)
    lane.until_end()


def slow(lane: Lane) -> None:
    """One registry takes seconds for each answer about a good or a bad credential."""
    behaviour = lane.random.choice(lane.registries).behaviour
    behaviour.delay = lane.random.uniform(0.5, 4)
    content, outcome = lane.draw()
    lane.rotate(content, outcome)
    lane.until_end()
    behaviour.delay = 0.0
    lane.measure_verdict(content)


def killed(lane: Lane) -> None:
    """The leader is killed at a random point."""
    content, outcome = lane.draw()
    lane.rotate(content, outcome)
    _await_random_point(lane, content)
    lane.site.leaders.kill(lane.random)
    lane.until_end()


def second(lane: Lane) -> None:
    """At a random point the source gets a third content, or the one before the rotation."""
    before = lane.track.view.base if lane.track.view else ""
    content, outcome = lane.draw()
    lane.rotate(content, outcome)
    _await_random_point(lane, content)
    if lane.random.random() < 0.3:
        lane.rotate(before, ProofOutcome.PROVED)
    else:
        lane.rotate(*lane.draw())
    lane.until_end()


def abort(lane: Lane) -> None:
    """A person aborts it at a random point, also after completion, and may begin it again."""
    before = lane.track.view.base if lane.track.view else ""
    content = lane.make("good")
    lane.rotate(content, ProofOutcome.PROVED)
    lane.until_stage(*Stage)
    _await_random_point(lane, content)
    asked_at = lane.ask(Verb.ABORT)
    lane.until_end()
    lane.measure_return(asked_at, before)
    if lane.random.random() < 0.5:
        lane.ask(Verb.PROMOTE)
        lane.until_end()


def promote(lane: Lane) -> None:
    """A person ends a long soak."""
    _, content = _soak(lane)
    lane.ask(Verb.PROMOTE)
    lane.until_end()
    lane.measure_verdict(content)


def revoke(lane: Lane) -> None:
    """A registry refuses, during a long soak, a credential that it has accepted."""
    before, content = _soak(lane)
    lane.until("the canary has it", lambda: set(lane.site.canary) <= lane.holders(content))
    lane.site.history.bad[content] = True
    behaviour = lane.random.choice(lane.registries).behaviour
    user = authorization_of(content)
    behaviour.users = {each: denied for each, denied in behaviour.users.items() if each != user}
    lane.plan.judge(content, ProofOutcome.REFUSED)
    lane.until_end()
    refused_at = min(at for at, status in lane.answers(content) if status == 401)
    lane.measure_return(refused_at, before)


def refused_pod(lane: Lane) -> None:
    """A Pod of the canary is refused a pull; a person may find another cause, and promote it."""
    before, content = _soak(lane)
    lane.until("the canary has it", lambda: set(lane.site.canary) <= lane.holders(content))
    lane.site.history.bad[content] = True
    namespace, name, refused_at = lane.refuse_a_pod()
    lane.until("the Pod holds it", lambda: _is_held_by_a_pod(lane, content))
    lane.measure("held after a Pod is refused", refused_at, lane.track.views[-1][0])
    lane.until_end()
    lane.measure_return(lane.track.views[-1][0], before)
    if lane.random.random() < 0.5:
        del lane.site.history.bad[content]
        lane.ask(Verb.PROMOTE)
        lane.until_stage(Stage.CANARY)
        lane.ask(Verb.PROMOTE)
        lane.until_end()
    lane.site.playground.delete(namespace, "pods", name)


def _soak(lane: Lane) -> tuple[str, str]:
    """Rotate to a good content, until its soak begins; return the content before, and the new one."""
    before = lane.track.view.base if lane.track.view else ""
    content = lane.make("good")
    lane.rotate(content, ProofOutcome.PROVED)
    lane.until_stage(Stage.CANARY)
    return before, content


def _is_held_by_a_pod(lane: Lane, content: str) -> bool:
    view = lane.track.view
    return view is not None and (view.reason, view.proposed) == (HoldReason.PODS_REFUSED, content)


def _await_random_point(lane: Lane, content: str) -> None:
    """Return when the rotation to a content has come to a random point, or has ended before."""
    site, ends = lane.site, lane.plan.ends()

    def is_in(stage: Stage) -> Callable[[], bool]:
        return lambda: (view := lane.track.view) is not None and view.stage is stage and content in view[2:]

    points = [
        lambda: True,
        lambda: bool(lane.answers(content)),
        lambda: bool(lane.holders(content)),
        lambda: bool(lane.holders(content) & {*site.others}),
        *map(is_in, (Stage.PROPOSED, Stage.CANARY, Stage.ROLLING_OUT, Stage.COMPLETE)),
    ]
    point = lane.random.choice(points)
    lane.until("a random point", lambda: point() or lane.track.view in ends)


QUICK = (good, wrong, denied, down, slow, killed, second, abort)
"""Those of a pull secret with a short soak."""

PATIENT = (promote, revoke, refused_pod)
"""Those of a pull secret with a soak that lasts longer than the rotation."""
