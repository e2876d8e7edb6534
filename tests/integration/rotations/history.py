"""Watch every version of every copy and of the stored stages, in the order in which the API server stored them."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from tests.integration.rotations.plan import View
from tests.integration.site.background import Background
from tests.integration.site.playground import Playground
from webhook.rules.dockerconfig import COPY_KEY, content_hash
from webhook.rules.rollout import HoldReason, Stage
from webhook.rules.state_document import ROLLOUTS_KEY

_WATCH_SECONDS = 2
"""Seconds of one watch, so that the thread ends soon."""

UNKNOWN = "an unknown content"

_LOOK_SECONDS = 0.1
"""Seconds between two looks at what no version of a Secret reports, such as a request to a registry."""


@dataclass
class Track:
    """Everything that was seen of one pull secret."""

    copies: dict[str, str] = field(default_factory=dict)
    """The content in each namespace."""
    state: dict[str, Any] = field(default_factory=dict)
    views: list[tuple[float, View]] = field(default_factory=list)
    """Each stored state with the time when it was seen."""
    written: dict[tuple[str, str], float] = field(default_factory=dict)
    """By namespace and content: the last time when a copy got it."""

    @property
    def view(self) -> View | None:
        return self.views[-1][1] if self.views else None


class History(Background):
    """Follows all Secrets by one watch.

    A content is named by its password. It is a violation if one that is ``bad`` comes to a namespace that it must not
    come to: none at all, or none outside the canary.
    """

    def __init__(self, site: Playground, canary: set[str]) -> None:
        self.tracks: dict[str, Track] = {}
        self.bad: dict[str, bool] = {}
        """By content: True if it may be in the canary."""
        self.violations: list[str] = []
        self.versions = 0
        self.changed = threading.Condition()
        self._contents: dict[str, str] = {}
        self._site = site
        self._canary = canary
        super().__init__()

    def introduce(self, content: str, payload: bytes) -> None:
        """Learn the payload of a content before it is used."""
        self._contents[content_hash(payload)] = content

    def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds, or a violation was seen; False if the time is over first."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (holds() or self.violations):
                if time.monotonic() > deadline:
                    return False
                self.changed.wait(_LOOK_SECONDS)
        return True

    def work(self) -> None:
        path = "/api/v1/secrets?allowWatchBookmarks=true"
        found = self._site.cluster.api.call("GET", "/api/v1/secrets")
        version = found["metadata"]["resourceVersion"]
        for secret in found["items"]:
            self._note(secret)
        while not self.ended.is_set():
            try:
                version = self._watch(f"{path}&watch=true&timeoutSeconds={_WATCH_SECONDS}", version)
            except (OSError, HTTPException) as error:
                # The next watch begins where this one ended, so every version is seen.
                print(f"the watch was interrupted: {error!r}")

    def _watch(self, path: str, version: str) -> str:
        connection = self._site.cluster.api.connect(timeout=30)
        try:
            connection.request("GET", f"{path}&resourceVersion={version}")
            for line in connection.getresponse():
                event = json.loads(line)
                assert event["type"] != "ERROR", event
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._note(event["object"])
                version = event["object"]["metadata"]["resourceVersion"]
        finally:
            connection.close()
        return version

    def _note(self, secret: dict[str, Any]) -> None:
        name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
        with self.changed:
            if namespace == self._site.installation.namespace and name == self._site.installation.state_secret:
                self._note_state(secret)
            elif name in self.tracks:
                self._note_copy(name, namespace, b64decode(secret["data"][COPY_KEY]))
            else:
                return
            self.versions += 1
            self.changed.notify_all()

    def _note_copy(self, name: str, namespace: str, payload: bytes) -> None:
        track, content = self.tracks[name], self._contents.get(content_hash(payload), UNKNOWN)
        if track.copies.get(namespace) != content:
            track.copies[namespace] = content
            track.written[namespace, content] = time.monotonic()
        is_forbidden = content in self.bad and not (self.bad[content] and namespace in self._canary)
        if is_forbidden or content == UNKNOWN:
            last = [f"{view.stage} {view.reason or ''}" for _, view in track.views[-5:]]
            self.violations.append(f"{content} came to {namespace} as {name}, after the stages {last}")

    def _note_state(self, secret: dict[str, Any]) -> None:
        stored = json.loads(b64decode(secret["data"].get(ROLLOUTS_KEY, "e30=")))
        for name, entry in stored.get("pull_secrets", {}).items():
            if (track := self.tracks.get(name)) is None:
                continue
            state = track.state = entry["rollout"]
            reason = HoldReason(state["reason"]) if "reason" in state else None
            names = [self._contents.get(state.get(part, ""), "") for part in ("base", "proposed")]
            view = View(Stage(state["stage"]), reason, *names)
            if track.view != view:
                track.views.append((time.monotonic(), view))
