"""What people do to namespaces and ServiceAccounts; each step says whether it has done anything."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.day.tenants import GOLD, GOLD_LABEL, Account, Tenant
from tests.integration.day.world import MERGE, World, path
from tests.integration.site.playground import COPY

MOST_TENANTS = 20
ACCOUNTS = ("default", "app-web", "app-legacy", "builder")
_ATTEMPTS = 10


class NamespaceSteps:
    """Namespaces come, opt in and out, change and go."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create_namespace(self) -> bool:
        name = f"{self._world.playground.installation.release}-t{self._world.random.randrange(MOST_TENANTS)}"
        tenant = Tenant(name, opted_in=self._world.random.random() < 0.7, gold=self._world.random.random() < 0.5)
        metadata = {"name": name, "labels": self._labels(tenant)}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        # One that is there already, or still on its way out, says 409.
        if self._world.api.request("POST", "/api/v1/namespaces", body).status != 201:
            return False
        tenant.accounts["default"] = Account([])
        self._world.tenants[name] = tenant
        return True

    def opt(self) -> bool:
        return self._relabel(lambda tenant: setattr(tenant, "opted_in", not tenant.opted_in))

    def change_tier(self) -> bool:
        return self._relabel(lambda tenant: setattr(tenant, "gold", not tenant.gold))

    def delete_namespace(self) -> bool:
        tenant = self._world.tenant()
        if tenant is None:
            return False
        del self._world.tenants[tenant.name]
        return self._world.api.request("DELETE", f"/api/v1/namespaces/{tenant.name}").status == 200

    def _relabel(self, change: Callable[[Tenant], None]) -> bool:
        tenant = self._world.tenant()
        if tenant is None:
            return False
        before = self._world.wanted(tenant)
        change(tenant)
        self._world.leave(tenant, before)
        body = {"metadata": {"labels": self._labels(tenant)}}
        self._world.api.call("PATCH", f"/api/v1/namespaces/{tenant.name}", body, MERGE)
        return True

    def _labels(self, tenant: Tenant) -> dict[str, str | None]:
        return {
            self._world.playground.label: "enabled" if tenant.opted_in else "no",
            GOLD_LABEL: "gold" if tenant.gold else "silver",
        }


class AccountSteps:
    """ServiceAccounts come and go, and their lists have entries of others."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create_account(self) -> bool:
        tenant, name = self._world.tenant(), self._world.random.choice(ACCOUNTS[1:])
        if tenant is None or name in tenant.accounts:
            return False
        draw = self._world.random.random
        account = Account(["theirs"] if draw() < 0.5 else [], disabled=draw() < 0.2)
        account.ever_enabled = not account.disabled
        metadata = {"name": name, "labels": self._account_labels(account)}
        entries = [{"name": entry} for entry in account.theirs]
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "imagePullSecrets": entries}
        self._world.api.call("POST", f"/api/v1/namespaces/{tenant.name}/serviceaccounts", body)
        tenant.accounts[name] = account
        return True

    def delete_account(self) -> bool:
        tenant, name = self._world.tenant(), self._world.random.choice(ACCOUNTS[1:])
        if tenant is None or name not in tenant.accounts:
            return False
        del tenant.accounts[name]
        return self._world.api.request("DELETE", f"{path(tenant, 'serviceaccounts', name)}").status == 200

    def add_entry(self) -> bool:
        found = self._world.account()
        if found is None:
            return False
        tenant, name, account = found
        entry = f"theirs-{self._world.random.randrange(1000)}"
        if entry in account.theirs or not self._edit_list(tenant, name, lambda entries: [*entries, entry]):
            return False
        account.theirs.append(entry)
        return True

    def drop_entry(self) -> bool:
        found = self._world.account()
        if found is None or not found[2].theirs:
            return False
        tenant, name, account = found
        entry = self._world.random.choice(account.theirs)
        if not self._edit_list(tenant, name, lambda entries: [one for one in entries if one != entry]):
            return False
        account.theirs.remove(entry)
        return True

    def strip_account(self) -> bool:
        """Take our references out, once: who does it again and again is not served at once, by design."""
        found = self._world.account()
        if found is None or found[2].stripped:
            return False
        tenant, name, account = found
        account.stripped = True
        return self._edit_list(tenant, name, lambda entries: [one for one in entries if one not in (COPY, GOLD)])

    def toggle_account(self) -> bool:
        found = self._world.account()
        if found is None:
            return False
        tenant, name, account = found
        account.disabled = not account.disabled
        account.ever_enabled = True
        body = {"metadata": {"labels": self._account_labels(account)}}
        return self._world.api.request("PATCH", path(tenant, "serviceaccounts", name), body, MERGE).status == 200

    def _edit_list(self, tenant: Tenant, name: str, change: Callable[[list[str]], list[str]]) -> bool:
        """Change a list as a careful writer does: on condition that nobody else has meanwhile."""
        where = path(tenant, "serviceaccounts", name)
        for _ in range(_ATTEMPTS):
            answer = self._world.api.request("GET", where)
            if answer.status != 200:
                return False  # the controller has not made it yet
            found = answer.json()
            entries = [entry["name"] for entry in found.get("imagePullSecrets") or ()]
            body = {
                "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                "imagePullSecrets": [{"name": entry} for entry in change(entries)],
            }
            if self._world.api.request("PATCH", where, body, MERGE).status == 200:
                return True
        raise AssertionError(f"{where}: {_ATTEMPTS} conflicts in a row")

    def _account_labels(self, account: Account) -> dict[str, str | None]:
        return {self._world.playground.label: "disabled" if account.disabled else None}
