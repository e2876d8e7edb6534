"""A day in the life of a cluster: people who label, delete, edit and rotate, one seeded step after the other."""

from __future__ import annotations

import random
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from tests.integration.playground import COPY
from tests.integration.tenants import (
    GHCR,
    GOLD,
    GOLD_LABEL,
    HARBOR,
    Account,
    Sources,
    Tenant,
    pull_secrets,
    source_data,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.api import Answer
    from tests.cluster.processes import PullSecrets
    from tests.integration.playground import Playground

MOST_TENANTS = 20
ACCOUNTS = ("default", "app-web", "app-legacy", "builder")
MERGE = "application/merge-patch+json"
LONGEST_PAUSE = 0.1
"""Seconds between two steps: so that sync is met at work as well as when it has done all."""

_ATTEMPTS = 10


class Day:
    """Steps that are drawn by a seed; what each has done is kept in `tenants`, `sources` and `active`."""

    def __init__(self, playground: Playground, seed: int) -> None:
        self._playground = playground
        self._api = playground.cluster.api
        self._random = random.Random(seed)  # noqa: S311 (to be repeatable)
        self._secrets_made = 0
        self.tenants: dict[str, Tenant] = {}
        self.sources = Sources()
        self.active = {COPY: True, GOLD: True}
        self.done: dict[str, int] = {}
        self._steps: list[tuple[int, Callable[[], bool]]] = [
            (10, self.create_namespace),
            (8, self.opt),
            (4, self.change_tier),
            (1, self.delete_namespace),
            (8, self.create_account),
            (3, self.delete_account),
            (8, self.add_entry),
            (3, self.drop_entry),
            (3, self.strip_account),
            (2, self.toggle_account),
            (6, self.delete_copy),
            (6, self.edit_copy),
            (2, self.freeze_copy),
            (2, self.disown_copy),
            (3, self.create_foreign),
            (3, self.delete_foreign),
            (6, self.rotate),
            (1, self.break_source),
            (1, self.delete_source),
            (1, self.configure),
            (1, self.restart),
        ]
        for source in (HARBOR, GHCR):
            self._set_source(source)
        self.sync = self._start()

    def step(self) -> None:
        """Do one thing; one that makes no sense just now is passed over."""
        weights, steps = zip(*self._steps, strict=True)
        chosen = self._random.choices(steps, weights)[0]
        time.sleep(self._random.random() * LONGEST_PAUSE)
        if chosen():
            self.done[chosen.__name__] = self.done.get(chosen.__name__, 0) + 1

    def end(self) -> None:
        """Mend what is broken, and have sync run."""
        for source, password in self.sources.passwords.items():
            if password is None:
                self._set_source(source)
        self.sync.wait_ready()

    # Namespaces

    def create_namespace(self) -> bool:
        name = f"{self._playground.installation.release}-t{self._random.randrange(MOST_TENANTS)}"
        tenant = Tenant(name, opted_in=self._random.random() < 0.7, gold=self._random.random() < 0.5)
        metadata = {"name": name, "labels": self._labels(tenant)}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        # One that is there already, or still on its way out, says 409.
        if self._api.request("POST", "/api/v1/namespaces", body).status != 201:
            return False
        tenant.accounts["default"] = Account([])
        self.tenants[name] = tenant
        return True

    def opt(self) -> bool:
        return self._relabel(lambda tenant: setattr(tenant, "opted_in", not tenant.opted_in))

    def change_tier(self) -> bool:
        return self._relabel(lambda tenant: setattr(tenant, "gold", not tenant.gold))

    def delete_namespace(self) -> bool:
        tenant = self._tenant()
        if tenant is None:
            return False
        del self.tenants[tenant.name]
        return self._api.request("DELETE", f"/api/v1/namespaces/{tenant.name}").status == 200

    def _relabel(self, change: Callable[[Tenant], None]) -> bool:
        tenant = self._tenant()
        if tenant is None:
            return False
        change(tenant)
        body = {"metadata": {"labels": self._labels(tenant)}}
        self._api.call("PATCH", f"/api/v1/namespaces/{tenant.name}", body, MERGE)
        return True

    def _labels(self, tenant: Tenant) -> dict[str, str | None]:
        return {
            self._playground.label: "enabled" if tenant.opted_in else "no",
            GOLD_LABEL: "gold" if tenant.gold else "silver",
        }

    # ServiceAccounts

    def create_account(self) -> bool:
        tenant, name = self._tenant(), self._random.choice(ACCOUNTS[1:])
        if tenant is None or name in tenant.accounts:
            return False
        account = Account(["theirs"] if self._random.random() < 0.5 else [], disabled=self._random.random() < 0.2)
        account.ever_enabled = not account.disabled
        metadata = {"name": name, "labels": self._account_labels(account)}
        entries = [{"name": entry} for entry in account.theirs]
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": entries}
        self._api.call("POST", f"/api/v1/namespaces/{tenant.name}/serviceaccounts", body)
        tenant.accounts[name] = account
        return True

    def delete_account(self) -> bool:
        tenant, name = self._tenant(), self._random.choice(ACCOUNTS[1:])
        if tenant is None or name not in tenant.accounts:
            return False
        del tenant.accounts[name]
        return self._api.request("DELETE", f"{self._path(tenant, 'serviceaccounts', name)}").status == 200

    def add_entry(self) -> bool:
        found = self._account()
        if found is None:
            return False
        tenant, name, account = found
        entry = f"theirs-{self._random.randrange(1000)}"
        if entry in account.theirs or not self._edit_list(tenant, name, lambda entries: [*entries, entry]):
            return False
        account.theirs.append(entry)
        return True

    def drop_entry(self) -> bool:
        found = self._account()
        if found is None or not found[2].theirs:
            return False
        tenant, name, account = found
        entry = self._random.choice(account.theirs)
        if not self._edit_list(tenant, name, lambda entries: [one for one in entries if one != entry]):
            return False
        account.theirs.remove(entry)
        return True

    def strip_account(self) -> bool:
        """Take our references out, once: who does it again and again is not served at once, by design."""
        found = self._account()
        if found is None or found[2].stripped:
            return False
        tenant, name, account = found
        account.stripped = True
        return self._edit_list(tenant, name, lambda entries: [one for one in entries if one not in (COPY, GOLD)])

    def toggle_account(self) -> bool:
        found = self._account()
        if found is None:
            return False
        tenant, name, account = found
        account.disabled = not account.disabled
        account.ever_enabled = True
        body = {"metadata": {"labels": self._account_labels(account)}}
        return self._api.request("PATCH", self._path(tenant, "serviceaccounts", name), body, MERGE).status == 200

    def _edit_list(self, tenant: Tenant, name: str, change: Callable[[list[str]], list[str]]) -> bool:
        """Change a list as a careful writer does: on condition that nobody else has meanwhile."""
        path = self._path(tenant, "serviceaccounts", name)
        for _ in range(_ATTEMPTS):
            answer = self._api.request("GET", path)
            if answer.status != 200:
                return False  # the controller has not made it yet
            found = answer.json()
            entries = [entry["name"] for entry in found.get("imagePullSecrets") or ()]
            body = {
                "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                "imagePullSecrets": [{"name": entry} for entry in change(entries)],
            }
            if self._api.request("PATCH", path, body, MERGE).status == 200:
                return True
        raise AssertionError(f"{path}: {_ATTEMPTS} conflicts in a row")

    def _account_labels(self, account: Account) -> dict[str, str | None]:
        return {self._playground.label: "disabled" if account.disabled else None}

    # Copies, and what has their name

    def delete_copy(self) -> bool:
        found = self._copy()
        return found is not None and self._api.request("DELETE", found).status == 200

    def edit_copy(self) -> bool:
        return self._patch_copy({"data": {".dockerconfigjson": "e30="}}) is not None

    def freeze_copy(self) -> bool:
        return self._patch_copy({"immutable": True}) is not None

    def disown_copy(self) -> bool:
        """Take our label from a copy: from then on it is somebody else's."""
        tenant, name = self._tenant(), self._random.choice((COPY, GOLD))
        if tenant is None or name in tenant.foreign:
            return False
        body = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}
        return self._adopt(tenant, name, self._api.request("PATCH", self._path(tenant, "secrets", name), body, MERGE))

    def create_foreign(self) -> bool:
        tenant, name = self._tenant(), self._random.choice((COPY, GOLD))
        if tenant is None or name in tenant.foreign:
            return False
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"theirs": name}}
        return self._adopt(tenant, name, self._api.request("POST", self._path(tenant, "secrets"), body))

    def delete_foreign(self) -> bool:
        tenants = [tenant for tenant in self.tenants.values() if tenant.foreign]
        if not tenants:
            return False
        tenant = self._random.choice(tenants)
        name = self._random.choice(sorted(tenant.foreign))
        del tenant.foreign[name]
        return self._api.request("DELETE", self._path(tenant, "secrets", name)).status == 200

    def _adopt(self, tenant: Tenant, name: str, answer: Answer) -> bool:
        if answer.status not in (200, 201):
            return False  # there is none, or another one
        tenant.foreign[name] = answer.json()
        tenant.ever_foreign.add(name)
        return True

    def _copy(self) -> str | None:
        """Return the path of a copy that is there, or soon will be."""
        copies = [
            self._path(tenant, "secrets", name)
            for tenant in self.tenants.values()
            for name in (COPY, GOLD)
            if wanted(tenant, name, self.active) and name not in tenant.foreign
        ]
        return self._random.choice(copies) if copies else None

    def _patch_copy(self, body: dict[str, Any]) -> str | None:
        found = self._copy()
        # 404 where there is none, 422 where it is immutable.
        return found if found and self._api.request("PATCH", found, body, MERGE).status == 200 else None

    # Sources, configuration, process

    def rotate(self) -> bool:
        self._set_source(self._random.choice((HARBOR, GHCR)))
        return True

    def break_source(self) -> bool:
        source = self._random.choice((HARBOR, GHCR))
        self._write_source(source, {".dockerconfigjson": b64encode(b'{"auths": {}}').decode()})
        self.sources.passwords[source] = None
        return True

    def delete_source(self) -> bool:
        source = self._random.choice((HARBOR, GHCR))
        self.sources.passwords[source] = None
        path = f"/api/v1/namespaces/{self._playground.installation.namespace}/secrets/{source}"
        return self._api.request("DELETE", path).status == 200

    def configure(self) -> bool:
        """Retire a pull secret, or take it back."""
        gone = [name for name, active in self.active.items() if not active]
        name = self._random.choice(gone if gone and self._random.random() < 0.8 else (COPY, GOLD))
        self.active[name] = not self.active[name]
        retired = [entry for entry, active in self.active.items() if not active]
        self._playground.installation.set_configuration(pullSecrets=pull_secrets(self.active), retired=retired)
        return True

    def restart(self) -> bool:
        """Kill sync in whatever it does, also in its start, and start it anew."""
        self.sync.kill()
        self.sync = self._start()
        return True

    def _start(self) -> PullSecrets:
        # Without an election: a killed leader would leave the rest of the day to nobody for 15 s.
        return self._playground.installation.start_sync("--no-leader-elect", "--log-format=json")

    def _set_source(self, source: str) -> None:
        self._secrets_made += 1
        password = f"password-{self._secrets_made}"
        self._write_source(source, source_data(source, password))
        self.sources.passwords[source] = password

    def _write_source(self, source: str, data: dict[str, str]) -> None:
        body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "data": data}
        path = f"/api/v1/namespaces/{self._playground.installation.namespace}/secrets/{source}"
        query = "?fieldManager=test&force=true"
        self._api.call("PATCH", path + query, {**body, "metadata": {"name": source}}, "application/apply-patch+yaml")

    # What is drawn

    def _tenant(self) -> Tenant | None:
        return self._random.choice(list(self.tenants.values())) if self.tenants else None

    def _account(self) -> tuple[Tenant, str, Account] | None:
        tenant = self._tenant()
        if tenant is None:
            return None
        name = self._random.choice(sorted(tenant.accounts))
        return tenant, name, tenant.accounts[name]

    @staticmethod
    def _path(tenant: Tenant, resource: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{tenant.name}/{resource}" + (f"/{name}" if name else "")
