"""Sick namespaces and healthy ones beside them, and how long healthy ones take: without trouble, and in it.

The measure is another release on the same cluster, at the same moment: a machine that is busy slows both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from tests.integration.faults.denier import denying_policy
from tests.integration.site.estate import new_password
from tests.integration.site.playground import COPY, Playground, eventually

HEALTHY = 5
ROUNDS = 3
TIMES_THE_CONTROL = 5.0
AT_LEAST_SECONDS = 2.0
"""A healthy namespace may take five times what it takes without trouble, or so long, whichever is more."""


class Healthy:
    """Healthy namespaces of a release, whose sync runs."""

    def __init__(self, playground: Playground) -> None:
        self.ours = playground
        self.password = new_password()
        playground.set_source(self.password)
        self.namespaces = [playground.namespace(selected=True) for _ in range(HEALTHY)]
        for namespace in self.namespaces:
            playground.await_selected(namespace, self.password)

    def measure(self) -> float:
        """Return the longest that a new healthy namespace or a rotation in the healthy ones has taken, in seconds."""
        return max(seconds for _ in range(ROUNDS) for seconds in (self._newcomer(), self._rotation()))

    def _newcomer(self) -> float:
        begun = time.monotonic()
        namespace = self.ours.namespace(selected=True)
        self.ours.await_selected(namespace, self.password)
        seconds = time.monotonic() - begun
        self.ours.cluster.delete_namespace(namespace)
        return seconds

    def _rotation(self) -> float:
        self.password = new_password()
        begun = time.monotonic()
        self.ours.set_source(self.password)
        for namespace in self.namespaces:
            eventually(partial(self.ours.password_in_copy, namespace), lambda seen: seen == self.password)
        return time.monotonic() - begun


class Ward:
    """Healthy namespaces that are right, and sick ones that are opted in when it is time.

    ``beside`` is the other release, which has nobody sick.
    """

    def __init__(self, playground: Playground, beside: Playground, sick: int) -> None:
        self.ours = playground
        self.healthy, self.beside = Healthy(playground), Healthy(beside)
        self.selector = {f"{playground.installation.release}.example.com/ward": "sick"}
        self.sick = [playground.namespace(selected=False, labels=self.selector) for _ in range(sick)]
        self.control = self.healthy.measure()

    def assert_as_without_trouble(self) -> None:
        """Fail when healthy namespaces take longer than they may."""
        with ThreadPoolExecutor(2) as both:
            seconds, others = both.map(Healthy.measure, (self.healthy, self.beside))
        control = max(self.control, others)
        print(
            f"healthy namespaces take {seconds:.2f} s, without trouble {self.control:.2f} s, beside it {others:.2f} s"
        )
        assert seconds <= max(TIMES_THE_CONTROL * control, AT_LEAST_SECONDS)

    def fall_ill(self) -> None:
        """Opt the sick ones in."""
        for namespace in self.sick:
            self.ours.opt(namespace, "enabled")

    def await_recovery(self) -> None:
        """Wait until the sick ones are right as well."""
        for namespace in self.sick:
            self.ours.await_selected(namespace, self.healthy.password)

    def await_denial(self, words: str) -> None:
        """Wait until the API server knows of what denies writes in the sick ones."""
        path = f"/api/v1/namespaces/{self.sick[0]}/secrets?dryRun=All"
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}}
        eventually(lambda: self.ours.cluster.api.request("POST", path, body).text, lambda text: words in text)

    @contextmanager
    def policy(self) -> Iterator[None]:
        """Have a ValidatingAdmissionPolicy without a reason deny every write of a Secret in the sick ones."""
        api = self.ours.cluster.api
        with denying_policy(api, f"{self.ours.installation.release}-never", self.selector):
            self.await_denial("denied request")
            yield


def copy_path(namespace: str) -> str:
    """Return the path of the copy in a namespace."""
    return f"/api/v1/namespaces/{namespace}/secrets/{COPY}"
