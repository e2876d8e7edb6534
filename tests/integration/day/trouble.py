"""Random trouble for two controllers: what people do, what networks do, what webhooks of others do.

Every choice is drawn by a seed. Each kind of trouble has a thread of its own, so that several come together; all have
ended when :meth:`Trouble.end` returns.
"""

from __future__ import annotations

import json
import random
import signal
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from tests.cluster.mounted import MountedConfigMap
from tests.integration.day.tenants import GOLD
from tests.integration.faults.denier import Denier
from tests.integration.faults.faultlink import Answer, Request
from tests.integration.faults.remote import Remote
from tests.integration.hostile.impostor import MERGE
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, dockerconfigjson, names

NAMESPACES = 12
SICK = 4
"""So many of them meet the webhooks of others."""

MOST_STRIPS = 3

LONGEST_STEP = 0.4
LONGEST_FAULT = 6.0
LONGEST_PEACE = 2.0
"""Seconds between two steps, of one fault, and between two faults of the same kind."""

PAGE = b"<html><body><h1>It does not work!</h1></body></html>"
ANSWERS = (
    Answer(404, PAGE, "text/html"),
    Answer(404),
    Answer(404, b'{"message": "no route"}'),
    Answer(503, PAGE, "text/html"),
    Answer(200, PAGE, "text/html"),
    Answer(302, headers=(("Location", "https://login.example.com/"),)),
    Answer(429, b"{}", headers=(("Retry-After", "1"),)),
)
WEBHOOKS = ("/deny/503", "/deny/429/2", "/deny/403", "/deny/500", "/slow/3", "/garbage", "/fail/500")
PULL_SECRETS = [{"name": name, "sources": [{"secretName": SOURCE}]} for name in (COPY, GOLD)]


def writes(request: Request) -> bool:
    return request.writes


def of_secrets(request: Request) -> bool:
    return "/secrets" in request.target


def everything(_request: Request) -> bool:
    return True


class Trouble:
    """Namespaces, two controllers with a way to the API server each, and threads that trouble them."""

    def __init__(
        self, ours: Playground, remotes: tuple[Remote, Remote], late: MountedConfigMap, denier: Denier, seed: int
    ) -> None:
        self._ours, self._remotes, self._late, self._denier = ours, remotes, late, denier
        self._api, self._seed = ours.cluster.api, seed
        self._random = random.Random(seed)  # noqa: S311 (to be repeatable)
        self.selector = {f"{ours.installation.release}.example.com/meets": "webhooks"}
        self.selected = {
            ours.namespace(selected=True, labels=self.selector if number < SICK else None): True
            for number in range(NAMESPACES)
        }
        self._strangers = [ours.namespace(selected=False) for _ in range(2)]
        for stranger in self._strangers:
            ours.apply(stranger, "Secret", COPY, {"stringData": {"theirs": "value"}})
            ours.apply(stranger, "ServiceAccount", "default", {"imagePullSecrets": [{"name": COPY}]})
        self._untouched = self._state_of_strangers()
        self._passwords = 0
        self._stripped: dict[str, int] = {}
        self._gold = True
        self.rotate()
        self.done: dict[str, int] = {}
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), daemon=True)
            for run in (self._people, self._webhooks, *(self._faults_of(number) for number in (0, 1)))
        ]

    @property
    def password(self) -> str:
        return f"password-{self._passwords}"

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for all trouble to end, and mend what nobody else would: the source, and the late configuration."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        self._publish_late()
        self.rotate()

    def wrong(self) -> Iterator[str]:
        """Yield what is not as it must be in the end."""
        for namespace, selected in self.selected.items():
            held = self._references(namespace)
            for name, active in ((COPY, True), (GOLD, self._gold)):
                wanted = selected and active
                found = self._password(namespace, name)
                if found != (self.password if wanted else None):
                    yield f"{namespace}/{name}: holds {found}, not {self.password if wanted else None}"
                if held.count(name) != int(wanted):
                    yield f"{namespace}: references {held}, {'lacks' if wanted else 'dangles'} {name}"
        if self._state_of_strangers() != self._untouched:
            yield f"{self._strangers}: has been written to"

    def rotate(self) -> bool:
        """Change the source, or make it again where it was deleted."""
        self._passwords += 1
        body = {"type": "kubernetes.io/dockerconfigjson", "data": dockerconfigjson(self.password)}
        whole = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SOURCE}, **body}
        path = f"{self._source}?fieldManager=test&force=true"
        self._api.call("PATCH", path, whole, "application/apply-patch+yaml")
        return True

    @property
    def _source(self) -> str:
        return f"/api/v1/namespaces/{self._ours.installation.namespace}/secrets/{SOURCE}"

    # What people do.

    def _people(self) -> None:
        steps: list[tuple[int, Callable[[], bool]]] = [
            (8, self._opt),
            (6, self._delete_copy),
            (6, self._edit_copy),
            (2, self._freeze_copy),
            (4, self._strip_account),
            (4, self.rotate),
            (1, self._delete_source),
            (1, self._recreate_source),
            (1, self._configure),
            (1, self._publish_late),
        ]
        weights, actions = zip(*steps, strict=True)
        while not self._over.wait(self._random.random() * LONGEST_STEP):
            action = self._random.choices(actions, weights)[0]
            if action():
                self._count(action.__name__)

    def _opt(self) -> bool:
        namespace = self._random.choice(list(self.selected))
        self.selected[namespace] = not self.selected[namespace]
        self._ours.opt(namespace, "enabled" if self.selected[namespace] else None)
        return True

    def _delete_copy(self) -> bool:
        return self._api.request("DELETE", self._some_copy()).status == 200

    def _edit_copy(self) -> bool:
        return self._patch_copy({"data": dockerconfigjson("edited")})

    def _freeze_copy(self) -> bool:
        return self._patch_copy({"immutable": True})

    def _strip_account(self) -> bool:
        """Take references out, seldom: by design, a loop serves those who do it again and again once a minute."""
        namespace = self._some_selected()
        if self._stripped.get(namespace, 0) == MOST_STRIPS:
            return False
        self._stripped[namespace] = self._stripped.get(namespace, 0) + 1
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        return self._api.request("PATCH", path, {"imagePullSecrets": None}, MERGE).status == 200

    def _delete_source(self) -> bool:
        return self._api.request("DELETE", self._source).status == 200

    def _recreate_source(self) -> bool:
        return self._delete_source() and self.rotate()

    def _configure(self) -> bool:
        """Retire a pull secret, or take it back: one of the controllers does not see that for a while."""
        self._gold = not self._gold
        active, retired = (PULL_SECRETS, []) if self._gold else (PULL_SECRETS[:1], [GOLD])
        self._ours.installation.set_configuration(pullSecrets=active, retired=retired)
        return True

    def _publish_late(self) -> bool:
        file = self._ours.installation.configuration_file
        self._late.publish({file.name: file.read_text()})
        return True

    def _patch_copy(self, body: dict[str, Any]) -> bool:
        path = self._some_copy()
        found = self._api.request("GET", path)
        # By then it may have gone, or be frozen; and what has been opted out must not be held up by a test.
        return found.status == 200 and self._api.request("PATCH", path, body, MERGE).status == 200

    def _some_selected(self) -> str:
        selected = [namespace for namespace, is_selected in self.selected.items() if is_selected]
        return self._random.choice(selected or list(self.selected))

    def _some_copy(self) -> str:
        return f"/api/v1/namespaces/{self._some_selected()}/secrets/{self._random.choice((COPY, COPY, GOLD))}"

    # What networks and machines do.

    def _faults_of(self, number: int) -> Callable[[], None]:
        def run() -> None:
            draw = random.Random(self._seed * 10 + number)  # noqa: S311 (to be repeatable)
            while not self._over.wait(draw.random() * LONGEST_PEACE):
                name, fault = self._fault(self._remotes[number], draw)
                self._count(name)
                with fault:
                    self._over.wait(draw.uniform(0.5, LONGEST_FAULT))

        return run

    def _fault(self, remote: Remote, draw: random.Random) -> tuple[str, AbstractContextManager[object]]:
        proxy = remote.proxy
        chosen = draw.choice((writes, of_secrets, everything))
        faults: dict[str, Callable[[], AbstractContextManager[object]]] = {
            "reset": lambda: _at_once(proxy.reset),
            "refusing": proxy.refusing,
            "silent": lambda: proxy.silent(resumes=draw.random() < 0.5, new=draw.random() < 0.7),
            "slow": lambda: proxy.slow(draw.uniform(0.1, 1.0)),
            "cutting": lambda: proxy.cutting(after=draw.randrange(500, 5000)),
            "withholding": lambda: proxy.withholding(lambda request: request.writes and of_secrets(request)),
            "page": lambda: proxy.answering(draw.choice(ANSWERS), chosen),
            "stopped": lambda: _stopped(remote),
        }
        name = draw.choice(sorted(faults))
        return name, faults[name]()

    # What the webhooks of others do.

    def _webhooks(self) -> None:
        draw = random.Random(self._seed * 10 + 9)  # noqa: S311 (to be repeatable)
        name = f"{self._ours.installation.release}.example.com"
        while not self._over.wait(draw.random() * LONGEST_PEACE):
            path = draw.choice(WEBHOOKS)
            self._count(path)
            # Only what sync writes: the steps of people must not fail because of it.
            with self._denier.registered(name, path, self.selector, by=self._user):
                self._over.wait(draw.uniform(0.5, LONGEST_FAULT))

    @property
    def _user(self) -> str:
        installation = self._ours.installation
        return f"system:serviceaccount:{installation.namespace}:{installation.fullname}-sync"

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - raised again at the end
            self._failures.append(error)
            self._over.set()

    def _references(self, namespace: str) -> list[str]:
        return names(self._api.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))

    def _password(self, namespace: str, name: str) -> str | None:
        answer = self._api.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if answer.status != 200:
            return None
        document = json.loads(b64decode(answer.json()["data"][".dockerconfigjson"]))
        password: str = document["auths"][REGISTRY]["password"]
        return password

    def _state_of_strangers(self) -> list[str]:
        return [
            self._api.call("GET", f"/api/v1/namespaces/{stranger}/{path}")["metadata"]["resourceVersion"]
            for stranger in self._strangers
            for path in (f"secrets/{COPY}", "serviceaccounts/default")
        ]


@contextmanager
def _at_once(act: Callable[[], None]) -> Iterator[None]:
    act()
    yield


@contextmanager
def _stopped(remote: Remote) -> Iterator[None]:
    remote.process.program.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        remote.process.program.signal(signal.SIGCONT)


@contextmanager
def two_controllers(start: Callable[[int], AbstractContextManager[Remote]]) -> Iterator[tuple[Remote, Remote]]:
    """Start two controllers, one after the other."""
    with ExitStack() as stack:
        yield stack.enter_context(start(0)), stack.enter_context(start(1))
