"""Prove the new content of a rotation at its registries, with each credential that has changed: log in, and pull."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol

from webhook.errors import ApiError
from webhook.files.rollout import MOST_IMAGES
from webhook.registries.login import Login, LoginResult
from webhook.rules.images import image_name
from webhook.rules.pulls import changed_images
from webhook.rules.rollout import Outcome
from webhook.rules.state_document import credentials_of
from webhook.sync.rollout_tests import ProofResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from webhook.rules.configuration import ProofSettings, PullSecret
    from webhook.rules.credential import Credential
    from webhook.rules.state_document import LastGood

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


class RegistryProof:
    """Asks the registries; safe from any thread."""

    def __init__(self, registries: Tester, images_of_pods: ImagesOfPods | None = None) -> None:
        self._registries = registries
        self._images_of_pods = images_of_pods

    def __call__(self, entry: PullSecret, base: LastGood | None, proposed: LastGood) -> ProofResult:
        """Return whether the registries accept what differs between the proposed content and the base.

        One refusal decides. Otherwise one registry that does not answer makes the outcome unknown.
        """
        if entry.rollout is None or entry.rollout.prove is None:
            return ProofResult(Outcome.PROVED)
        before, after = credentials_of(base), credentials_of(proposed)
        tests = list(self._tests(entry.rollout.prove, before, after))
        if entry.rollout.prove.images_from_pods and self._images_of_pods is not None:
            images = partial(self._images_of_pods, entry, base, proposed)
            tests += self._tests_of_pods(entry.rollout.prove.pull, images, before, after)
        with ThreadPoolExecutor(TESTS_AT_ONCE, f"proof {entry.name}") as pool:
            results = list(pool.map(lambda test: test(), tests))
        for login, outcome in ((Login.REFUSED, Outcome.REFUSED), (Login.UNKNOWN, Outcome.UNKNOWN)):
            if reasons := [result.why for result in results if result.login is login]:
                return ProofResult(outcome, "; ".join(reasons[:_SHOWN]))
        return ProofResult(Outcome.PROVED)

    def _tests(
        self, settings: ProofSettings, before: Mapping[str, Credential], after: Mapping[str, Credential]
    ) -> Iterator[Callable[[], LoginResult]]:
        if settings.login:
            for key, credential in after.items():
                if before.get(key) != credential:
                    yield partial(self._registries.log_in, key, credential)
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
            yield lambda: unknown
            return
        besides = {image_name(image) for image in named}
        others = [image for image in images if image_name(image) not in besides]
        for image in others[: MOST_IMAGES - len(named)]:
            yield partial(self._pull_of_pod, image, before, after)

    def _pull_of_pod(
        self, image: str, before: Mapping[str, Credential], after: Mapping[str, Credential]
    ) -> LoginResult:
        """Return whether a rotation takes an image away from Pods. One that nodes cannot pull now shows nothing.

        Its name can be wrong, its tag can be gone, and the Pod can have another credential for it.
        """
        result = self._registries.pull(image, after)
        if not before or (result.login is not Login.REFUSED and not result.is_missing):
            return result
        now = self._registries.pull(image, before)
        if now.login is Login.ACCEPTED:
            why = f"{image}, which Pods pull: the registry shows it to the previous credential, and not to the new one"
            return LoginResult(Login.REFUSED, why)
        return LoginResult(Login.ACCEPTED, "") if now.login is Login.REFUSED or now.is_missing else now

    def _pull(self, image: str, before: Mapping[str, Credential], after: Mapping[str, Credential]) -> LoginResult:
        """Return whether a node can pull an image. A registry can answer 404 for what a credential may not see."""
        result = self._registries.pull(image, after)
        if not result.is_missing or not before or self._registries.pull(image, before).login is not Login.ACCEPTED:
            return result
        why = f"{image}: the registry shows it to the previous credential, and answers 404 to the new one"
        return LoginResult(Login.REFUSED, why)
