"""Rotate one pull secret again and again, and compare where each rotation ends with the plan."""

from __future__ import annotations

import json
import random
import threading
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.ports import free_port
from tests.integration.rotations.history import History, Track
from tests.integration.rotations.leaders import Leaders
from tests.integration.rotations.plan import Plan, View
from tests.integration.site.playground import Playground, pod
from tests.integration.site.rotating import FORBIDDEN, NOT_FOUND, create_failing_pod
from tests.unit.registries.registry import USER, Behaviour, Registry, authorization_of
from webhook.rules.configuration import ProofSettings, RolloutSettings
from webhook.rules.dockerconfig import COPY_KEY, COPY_TYPE, parse_source, render
from webhook.rules.rollout import REQUEST_ANNOTATION, ProofOutcome, Stage, Verb

SECONDS = 180.0
"""Enough for a step on a busy machine."""

NAMED = ((0, "team/app"), (0, "team/base"), (1, "team/app"))
"""The number of the registry, and the repository: those that the configuration names."""

REPOSITORIES = (*NAMED, (1, "team/of-pods"))
"""The same and one that only a Pod pulls: those that every node pulls from."""

GONE = "team/gone"
"""A repository that only a Pod names, and that no registry has."""


class Figures:
    """Seconds by what was measured; safe from any thread."""

    def __init__(self, leaders: Leaders) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._leaders = leaders

    def add(self, name: str, began_at: float, ended_at: float) -> None:
        """Note a figure, apart from the others if no process led for a part of the time."""
        is_apart = any(began <= ended_at and began_at <= ended for began, ended in [*self._leaders.outages])
        self.seconds[f"{name}, leader killed" if is_apart else name].append(ended_at - began_at)

    def table(self) -> str:
        """Return a line for each figure."""
        lines = [f"{'seconds':<40}{'number':>8}{'median':>8}{'p99':>8}{'max':>8}"]
        for name, seconds in sorted(self.seconds.items()):
            ranked = sorted(seconds)
            shown = (ranked[len(ranked) // 2], ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)], ranked[-1])
            lines.append(f"{name:<40}{len(ranked):>8}" + "".join(f"{each:>8.2f}" for each in shown))
        return "\n".join(lines)


@dataclass
class Site:
    """All that the lanes share."""

    playground: Playground
    history: History
    leaders: Leaders
    figures: Figures
    certificate: Path
    canary: list[str]
    others: list[str]
    failed: threading.Event = field(default_factory=threading.Event)


class Lane:
    """One pull secret, its source and its two registries."""

    def __init__(self, site: Site, number: int, seed: str, *, soak: float, overlap: float) -> None:
        self.name, self.source = f"pull-{number}", f"source-{number}"
        self.random = random.Random(f"{seed} {number}")  # noqa: S311 (to be repeatable)
        manifests = frozenset(f"/v2/{repository}/manifests/1" for _, repository in REPOSITORIES)
        # Ports that no connection of this machine gets while a registry is down.
        behaviours = (Behaviour(manifests=manifests) for _ in range(2))
        self.registries = [Registry(site.certificate, free_port(), behaviour) for behaviour in behaviours]
        self.site = site
        images = tuple(self.image(where, repository) for where, repository in NAMED)
        proof = ProofSettings(pull=images, images_from_pods=True)
        self.settings = RolloutSettings(
            proof, tuple(site.canary), soak, max_per_second=2, overlap=overlap, watch_pods=True
        )
        self.track = site.history.tracks[self.name] = Track()
        self.rights: dict[str, frozenset[str]] = {}
        self.count = 0
        self.done: list[str] = []
        self.content = self.make("first")
        self.plan = Plan(self.settings, self.content)
        self.put(self.content)
        self._create_pods()

    @property
    def configuration(self) -> dict[str, Any]:
        """Return the entry of ``pullSecrets``."""
        settings = self.settings
        assert settings.prove is not None
        rollout = {
            "prove": {"pull": list(settings.prove.pull), "imagesFromPods": settings.prove.images_from_pods},
            "canary": {
                "namespaces": list(settings.canary),
                "soak": f"{settings.soak:g}s",
                "watchPods": settings.watch_pods,
            },
            "maxPerSecond": settings.max_per_second,
            "overlap": f"{settings.overlap:g}s",
        }
        return {"name": self.name, "sources": [{"secretName": self.source}], "rollout": rollout}

    def image(self, registry: int, repository: str) -> str:
        """Return the image of a repository of one of the registries."""
        return f"{self.registries[registry].key}/{repository}:1"

    def _create_pods(self) -> None:
        """Create a Pod that pulls an image, and two in the canary that fail to pull for causes before any rotation."""
        playground, references = self.site.playground, [{"name": self.name}]
        pulling = pod(f"{self.name}-pulls", self.image(*REPOSITORIES[-1]), imagePullSecrets=references)
        playground.create(self.site.others[0], "pods", pulling)
        for name, message in (("gone", NOT_FOUND), ("refused", FORBIDDEN)):
            image = self.image(0, GONE if name == "gone" else NAMED[0][1])
            # The one that is refused began to fail long before any copy was written.
            seconds = 5.0 if name == "gone" else -86400.0
            namespace = self.site.canary[0]
            create_failing_pod(playground, namespace, f"{self.name}-{name}", image, self.name, message, seconds)

    def make(self, kind: str, *, denied: int | None = None, wrong: int | None = None) -> str:
        """Return a new content: one registry may refuse it, or deny one repository."""
        self.count += 1
        content = f"{self.name}-{self.count}-{kind}"
        for number, registry in enumerate(self.registries):
            repositories = {REPOSITORIES[denied][1]} if denied is not None and REPOSITORIES[denied][0] == number else ()
            if number != wrong:
                users = registry.behaviour.users
                registry.behaviour.users = {**users, authorization_of(content): frozenset(repositories)}
        encoded = b64encode(self._document(content)).decode()
        payload = render(parse_source(self.source, COPY_TYPE, {COPY_KEY: encoded}, {}))
        self.site.history.introduce(content, payload)
        if denied is not None or wrong is not None:
            self.site.history.bad[content] = False
        return content

    def draw(self) -> tuple[str, ProofOutcome]:
        """Return a new content that is good or bad, and what the registries make of it."""
        match self.random.randrange(3):
            case 0:
                return self.make("wrong", wrong=self.random.randrange(2)), ProofOutcome.REFUSED
            case 1:
                return self.make("denied", denied=self.random.randrange(len(REPOSITORIES))), ProofOutcome.REFUSED
            case _:
                return self.make("good"), ProofOutcome.PROVED

    def put(self, content: str) -> float:
        """Give the source a content, and return when."""
        self.content = content
        body = {"type": COPY_TYPE, "data": {COPY_KEY: b64encode(self._document(content)).decode()}}
        put_at = time.monotonic()
        self.site.playground.apply(self.site.playground.installation.namespace, "Secret", self.source, body)
        return put_at

    def rotate(self, content: str, outcome: ProofOutcome) -> float:
        """Rotate to a content, and note it in the plan; return when."""
        # The plan is first: a rotation that is faster than the plan would be a surprise to it.
        self.plan.put(content, outcome)
        return self.put(content)

    def ask(self, verb: Verb) -> float:
        """Request something for the present rotation, as a person does who has read its id; return when."""
        rollout_id = self.track.state["id"]
        self.plan.ask(verb)
        body = {"metadata": {"annotations": {REQUEST_ANNOTATION: f"{verb}-{rollout_id}"}}}
        asked_at = time.monotonic()
        self.site.playground.patch(self.site.playground.installation.namespace, "secrets", self.source, body)
        return asked_at

    def refuse_a_pod(self) -> tuple[str, str, float]:
        """Have a Pod of the canary be refused a pull with the present content; return its place, and when."""
        namespace, name = self.random.choice(self.site.canary), f"{self.name}-{self.count}"
        self.plan.refuse_pods()
        refused_at = time.monotonic()
        image = self.image(*self.random.choice(REPOSITORIES))
        create_failing_pod(self.site.playground, namespace, name, image, self.name, FORBIDDEN)
        return namespace, name, refused_at

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something was seen."""
        if not self.site.history.until(lambda: holds() or self.site.failed.is_set(), SECONDS):
            raise AssertionError(f"not seen: {what}; {self.told()}")
        assert not self.site.history.violations, self.site.history.violations
        assert not self.site.failed.is_set(), "another pull secret failed"

    def until_stage(self, *stages: Stage) -> View:
        """Wait until the present content, or what it has replaced, is in one of these stages."""

        def is_there() -> bool:
            view = self.track.view
            return view is not None and view.stage in stages and self.content in (view.base, view.proposed)

        self.until(f"{self.content} in {' or '.join(stages)}", is_there)
        assert self.track.view is not None
        return self.track.view

    def until_end(self) -> View:
        """Wait until the rotation has ended as the plan wants it, and every copy has its content."""
        ends = self.plan.ends()

        def is_over() -> bool:
            view = self.track.view
            return view in ends and self.holders(view.base) == {*self.site.canary, *self.site.others}

        self.until(f"one of {sorted(map(str, ends))}", is_over)
        view = self.track.view
        assert view is not None
        self.plan.settle(view)
        return view

    def holders(self, content: str) -> set[str]:
        """Return the namespaces whose copy has a content."""
        return {namespace for namespace, held in self.track.copies.items() if held == content}

    def measure(self, name: str, began_at: float, ended_at: float) -> None:
        """Note a figure."""
        self.site.figures.add(name, began_at, ended_at)

    def measure_verdict(self, content: str) -> None:
        """Note the time from the last answer of the registries to the first stage that depends on it."""
        after = (Stage.HELD, Stage.PROVED, Stage.CANARY, Stage.ROLLING_OUT)
        seen_at = next(at for at, view in self.track.views if view.proposed == content and view.stage in after)
        answers = [at for at, _ in self.answers(content) if at <= seen_at]
        self.measure("verdict after the answer", max(answers), seen_at)

    def measure_return(self, began_at: float, base: str) -> None:
        """Note the time until the last copy has the previous content back."""
        written = self.track.written
        returned = [written[namespace, base] for namespace in (*self.site.canary, *self.site.others)]
        if max(returned) > began_at:
            self.measure("return", began_at, max(returned))

    def answers(self, content: str) -> list[tuple[float, int]]:
        """Return the times and the statuses of the answers about a content."""
        user = authorization_of(content)
        return [answer for registry in self.registries for answer in [*registry.behaviour.answered_at[user]]]

    def told(self) -> str:
        """Return what was done and seen, for a failure."""
        shown = [f"{view.stage} {view.reason or ''} {view.base} {view.proposed}" for _, view in self.track.views[-12:]]
        plan = sorted(map(str, self.plan.ends()))
        return f"{self.name} after {self.done[-4:]}: {shown}; copies {self.track.copies}; plan {plan}"

    def close(self) -> None:
        """End the registries."""
        for registry in self.registries:
            registry.close()

    def _document(self, content: str) -> bytes:
        entry = {"username": USER, "password": content, "auth": authorization_of(content).removeprefix("Basic ")}
        assert b64decode(entry["auth"]).decode() == f"{USER}:{content}"
        return json.dumps({"auths": {registry.key: entry for registry in self.registries}}).encode()
