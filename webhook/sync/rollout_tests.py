"""Test the content of each rollout while it is tried: at its registries, and by the Pods of the canary.

Each test runs in a thread of its own, because a registry can take a minute, and is repeated while its outcome matters.
A proof logs in to the registries with each credential that has changed, and pulls.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

import structlog

from webhook.errors import ApiError
from webhook.files.rollout import MOST_IMAGES
from webhook.registries.login import Login, LoginResult
from webhook.rules.images import image_name
from webhook.rules.pulls import changed_images
from webhook.rules.rollout import ProofOutcome, Rollout, Stage
from webhook.rules.state_document import credentials_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from webhook.rules.configuration import ProofSettings, PullSecret
    from webhook.rules.credential import Credential
    from webhook.rules.pulls import PullFailure
    from webhook.rules.state_document import LastGood

log = structlog.get_logger(__name__)

PROOF_SECONDS = 30.0
"""Seconds between two proofs of a content that is in the canary or held."""

LOOK_SECONDS = 3.0
"""Seconds between two looks at the Pods of the canary. A node reports the cause of a failed pull for about 10 s, and
older nodes report none while they wait for the next attempt."""

T = TypeVar("T")


class ProofResult(NamedTuple):
    """The outcome of a proof, and a sentence about it without any part of a credential."""

    outcome: ProofOutcome
    detail: str = ""


class Prove(Protocol):
    """Tests a content at its registries."""

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult | None:
        """Return the outcome of a proof, or None if this process stops meanwhile. It may take a minute."""


class PullReport(NamedTuple):
    """One look at the Pods of the canary namespaces whose copy has the proposed content."""

    refused: tuple[PullFailure, ...] = ()
    """Pulls with the content that a registry refuses, in order."""
    watched: int = 0
    """Namespaces whose Pods were read."""
    forbidden: tuple[str, ...] = ()
    """Namespaces whose Pods this process lacks the right to read."""
    is_partial: bool = False
    """True if a read failed for another cause, so that the look has to be repeated."""


class PodCheck(Protocol):
    """Reads the Pods of the canary."""

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> PullReport:
        """Return what the Pods report about pulls with the proposed content."""


class RolloutTests:
    """The tests that run, by pull secret; not safe to use from several threads."""

    def __init__(
        self,
        prove: Prove | None,
        check_pods: PodCheck | None,
        monotonic: Callable[[], float],
        ended: Callable[[], None],
    ) -> None:
        self._prove = prove
        self._look_at_pods = check_pods
        self._monotonic = monotonic
        self._ended = ended
        # Rollouts calls each method under its lock, so these have none of their own.
        self._proofs: dict[str, _Test[ProofResult]] = {}
        self._looks: dict[str, _Test[PullReport]] = {}

    def keep(self, names: Collection[str]) -> None:
        """Forget the tests of all pull secrets but these."""
        for tests in (self._proofs, self._looks):
            for name in set(tests).difference(names):
                tests.pop(name)

    def start(self, entry: PullSecret, state: Rollout, base: LastGood | None, proposed: LastGood | None) -> None:
        """Start the tests of a content that are due."""
        if proposed is not None:
            self._start_proof(entry, state, base, proposed)
            self._start_look(entry, state, base, proposed)

    def proof(self, name: str, state: Rollout) -> ProofResult | None:
        """Return the outcome of a proof of the proposed content once; None without one."""
        proof = self._proofs.get(name)
        # The result about a content that was replaced meanwhile is taken, too: the next proof begins after that.
        if proof is None or (result := proof.take()) is None or proof.content != state.proposed:
            return None
        return result

    def pods(self, name: str, state: Rollout) -> PullReport | None:
        """Return what the last look at the Pods has seen in this stage of the content; None before its end."""
        look = self._looks.get(name)
        return None if look is None or (look.stage, look.content) != (state.stage, state.proposed) else look.last

    def _start_proof(self, entry: PullSecret, state: Rollout, base: LastGood | None, proposed: LastGood) -> None:
        proof, now = self._proofs.get(entry.name), self._monotonic()
        if self._prove is None or entry.rollout is None or entry.rollout.prove is None or not state.needs_proof:
            # A proof that still runs cannot be interrupted, so its result is dropped with it.
            self._proofs.pop(entry.name, None)
            return
        # A result that was not taken yet must not be replaced by another proof.
        if proof is not None and (proof.is_running or proof.has_result):
            return
        # A soak does not end while the outcome is unknown, so a short one does not wait 30 s for the next proof.
        pause = min(PROOF_SECONDS, max(1.0, entry.rollout.soak / 3))
        # A new content, and the start and the canary of one that was held, need an outcome of their own.
        if (
            proof is not None
            and proof.content == state.proposed
            and state.stage in (proof.stage, Stage.HELD)
            and now - proof.began < pause
        ):
            return
        failed = ProofResult(ProofOutcome.UNKNOWN, "the proof ended with an internal error: look at the log")
        run = partial(self._prove, entry, base, proposed)
        self._proofs[entry.name] = _Test(f"proof {entry.name}", run, failed, state, now, self._ended)

    def _start_look(self, entry: PullSecret, state: Rollout, base: LastGood | None, proposed: LastGood) -> None:
        look, now = self._looks.get(entry.name), self._monotonic()
        if self._look_at_pods is None or entry.rollout is None or not entry.rollout.watch_pods or not state.needs_pods:
            self._looks.pop(entry.name, None)
            return
        is_same = look is not None and (look.stage, look.content) == (state.stage, state.proposed)
        if look is not None and (look.is_running or (is_same and now - look.began < LOOK_SECONDS)):
            return
        run, failed = partial(self._look_at_pods, entry, base, proposed), PullReport(is_partial=True)
        # The previous look counts until this one ends. Otherwise the seconds of each look would not count for the soak.
        last = look.last if is_same and look is not None else None
        self._looks[entry.name] = _Test(f"pods {entry.name}", run, failed, state, now, self._ended, last)


class _Test(Generic[T]):
    """One test of a content, in a thread of its own; ``failed`` is its result if it ends with a defect."""

    def __init__(
        self,
        name: str,
        run: Callable[[], T | None],
        failed: T,
        state: Rollout,
        began: float,
        ended: Callable[[], None],
        last: T | None = None,
    ) -> None:
        self.stage, self.content = state.stage, state.proposed
        self.began = began
        self.last = last
        """The last result: that of an earlier test until this one ends."""
        self._result: T | None = None
        self._ended = ended
        self._thread = threading.Thread(target=self._run, args=(run, failed), name=name, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """True until the test has ended."""
        return self._thread.is_alive()

    @property
    def has_result(self) -> bool:
        """True if it has a result that was not taken yet."""
        return self._result is not None

    def take(self) -> T | None:
        """Return the result once."""
        result, self._result = self._result, None
        return result

    def _run(self, run: Callable[[], T | None], failed: T) -> None:
        try:
            result = run()
        except Exception:
            log.exception("test of a rotation failed", test=self._thread.name)
            result = failed
        # Before the call below, which wakes the thread that takes it.
        self._result = self.last = result
        self._ended()


TESTS_AT_ONCE = 8
"""A registry that does not answer takes 10 s, and the others must not wait for it."""

_SHOWN = 3
"""Registries or images that one sentence names."""


class Tester(Protocol):
    """Asks registries; blocks for 10 s at most."""

    def log_in(self, key: str, credential: Credential) -> LoginResult:
        """Return whether the registry of a key accepts a credential."""

    def pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
        """Return whether a node with these credentials can pull an image."""


class ImagesOfPods(Protocol):
    """Reads the images that Pods pull with a pull secret."""

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood, /) -> Sequence[str]:
        """Return one image of each repository, the most important first. Raises ApiError if that is unknown."""


_NOT_TESTED = LoginResult(Login.UNKNOWN, "this process stops")


class RegistryProof:
    """Tests contents at registries; safe from any thread. A request does not begin once ``is_stopping()`` is true."""

    def __init__(
        self,
        registries: Tester,
        images_of_pods: ImagesOfPods | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._registries = registries
        self._images_of_pods = images_of_pods
        self._is_stopping = is_stopping

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult | None:
        """Return whether the registries accept what differs between the proposed content and the base.

        One refusal decides. Otherwise one registry that does not answer makes the outcome unknown. None if this process
        stops before the end.
        """
        if entry.rollout is None or entry.rollout.prove is None:
            return ProofResult(ProofOutcome.PROVED)
        before, after = credentials_of(base), credentials_of(proposed)
        tests = list(self._tests(entry.rollout.prove, before, after))
        if entry.rollout.prove.images_from_pods and self._images_of_pods is not None:
            images = partial(self._images_of_pods, entry, base, proposed)
            tests += self._tests_of_pods(entry.rollout.prove.pull, images, before, after)
        # A defect in one test is raised here again, and makes the outcome of the proof unknown.
        with ThreadPoolExecutor(TESTS_AT_ONCE, f"proof {entry.name}") as pool:
            results = list(pool.map(lambda test: test(), tests))
        # An unknown outcome can let a rollout continue, so the missing answers must not count as one.
        if self._is_stopping():
            return None
        for login, outcome in ((Login.REFUSED, ProofOutcome.REFUSED), (Login.UNKNOWN, ProofOutcome.UNKNOWN)):
            if reasons := [result.message for result in results if result.login is login]:
                return ProofResult(outcome, "; ".join(reasons[:_SHOWN]))
        return ProofResult(ProofOutcome.PROVED)

    def _tests(
        self, settings: ProofSettings, before: Mapping[str, Credential], after: Mapping[str, Credential]
    ) -> Iterator[Callable[[], LoginResult]]:
        if settings.login:
            for key, credential in after.items():
                # Nodes have an unchanged credential already, so a refusal of it says nothing about this rotation.
                if before.get(key) != credential:
                    yield partial(self._log_in, key, credential)
        is_changed = changed_images(before, after)
        for image in settings.pull:
            if is_changed(image):
                yield partial(self._pull, image, before, after)

    def _tests_of_pods(
        self,
        named: Sequence[str],
        read: Callable[[], Sequence[str]],
        before: Mapping[str, Credential],
        after: Mapping[str, Credential],
    ) -> Iterator[Callable[[], LoginResult]]:
        """Yield the tests of images of Pods. Their number is limited together with that of the named images."""
        try:
            images = read()
        except ApiError as error:
            unknown = LoginResult(Login.UNKNOWN, f"the images of the Pods that run are unknown: {error}")
            # A result like the others, so that a refusal among them still decides.
            yield lambda: unknown
            return
        # The test of a named image is stricter, so it is enough.
        named_repositories = {image_name(image) for image in named}
        others = [image for image in images if image_name(image) not in named_repositories]
        for image in others[: MOST_IMAGES - len(named)]:
            yield partial(self._pull_of_pod, image, before, after)

    # Python joins the workers of a pool before it exits, so each request that has not begun would delay the exit.
    def _log_in(self, key: str, credential: Credential) -> LoginResult:
        return _NOT_TESTED if self._is_stopping() else self._registries.log_in(key, credential)

    def _request_pull(self, image: str, credentials: Mapping[str, Credential]) -> LoginResult:
        return _NOT_TESTED if self._is_stopping() else self._registries.pull(image, credentials)

    def _pull_of_pod(
        self, image: str, before: Mapping[str, Credential], after: Mapping[str, Credential]
    ) -> LoginResult:
        """Return whether a rotation takes an image away from Pods. One that nodes cannot pull now shows nothing.

        Its name can be wrong, its tag can be gone, and the Pod can have another credential for it.
        """
        result = self._request_pull(image, after)
        if not before or (result.login is not Login.REFUSED and not result.is_missing):
            return result
        # Only a comparison shows the cause: images of Pods may be wrong, and the credential may be right.
        previous = self._request_pull(image, before)
        if previous.login is Login.ACCEPTED:
            message = (
                f"{image}, which Pods pull: the registry shows it to the previous credential, and not to the new one"
            )
            return LoginResult(Login.REFUSED, message)
        return LoginResult(Login.ACCEPTED, "") if previous.login is Login.REFUSED or previous.is_missing else previous

    def _pull(self, image: str, before: Mapping[str, Credential], after: Mapping[str, Credential]) -> LoginResult:
        """Return whether a node can pull an image. A registry can answer 404 for what a credential may not see."""
        result = self._request_pull(image, after)
        if not result.is_missing or not before or self._request_pull(image, before).login is not Login.ACCEPTED:
            return result
        message = f"{image}: the registry shows it to the previous credential, and answers 404 to the new one"
        return LoginResult(Login.REFUSED, message)
