"""What must be true at the end of a day, said without any of the project's own code but its labels."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from tests.integration.day.tenants import GOLD, Tenant, included, wanted
from tests.integration.day.world import World
from tests.integration.site.playground import COPY, Playground, names


class Oracle:
    """Looks at the cluster as it is, and says what should be otherwise."""

    def __init__(self, playground: Playground, world: World) -> None:
        self._playground = playground
        self._world = world
        installation = playground.installation
        self._labels = {
            "app.kubernetes.io/managed-by": "pull-secret-webhook",
            "pullsecrets.webhook/release": installation.release,
            "pullsecrets.webhook/release-namespace": installation.namespace,
        }

    def wrong(self) -> Iterator[str]:
        """Yield each thing that is not as it must be."""
        contents: dict[str, set[str]] = {COPY: set(), GOLD: set()}
        for tenant in self._world.tenants.values():
            secrets = self._listed(tenant, "secrets")
            accounts = self._listed(tenant, "serviceaccounts")
            if accounts.keys() != tenant.accounts.keys():
                yield f"{tenant.name}: the ServiceAccounts are {sorted(accounts)}, not {sorted(tenant.accounts)}"
                continue
            unknown = secrets.keys() - {COPY, GOLD}
            if unknown:
                yield f"{tenant.name}: there are also {sorted(unknown)}"
            for name in (COPY, GOLD):
                yield from self._wrong_secret(tenant, name, secrets.get(name), contents[name])
                for account, holder in accounts.items():
                    yield from self._wrong_reference(tenant, name, account, names(holder), name in secrets)
            for account, holder in accounts.items():
                theirs = [entry for entry in names(holder) if entry not in (COPY, GOLD)]
                if theirs != tenant.accounts[account].theirs:
                    yield f"{tenant.name}/{account}: of others {theirs}, not {tenant.accounts[account].theirs}"
        for name, bodies in contents.items():
            if len(bodies) > 1:
                yield f"{name}: the copies differ in {len(bodies)} ways"

    def _wrong_secret(
        self, tenant: Tenant, name: str, secret: dict[str, Any] | None, contents: set[str]
    ) -> Iterator[str]:
        if name in tenant.foreign:
            if secret != tenant.foreign[name]:
                yield f"{tenant.name}/{name}: the foreign Secret is not what it was"
            return
        if not wanted(tenant, name, self._world.active):
            if secret is not None:
                yield f"{tenant.name}/{name}: a copy that has no place here"
            return
        if secret is None:
            yield f"{tenant.name}/{name}: no copy"
            return
        uid = self._playground.cluster.api.call("GET", f"/api/v1/namespaces/{tenant.name}")["metadata"]["uid"]
        labels = self._labels | {"pullsecrets.webhook/namespace-uid": uid}
        if secret["metadata"].get("labels") != labels or secret["type"] != "kubernetes.io/dockerconfigjson":
            yield f"{tenant.name}/{name}: labels {secret['metadata'].get('labels')}, type {secret['type']}"
        body = secret["data"].get(".dockerconfigjson", "")
        contents.add(body)
        if _credentials(body) != self._world.sources.content(name):
            yield f"{tenant.name}/{name}: holds {_credentials(body)}"

    def _wrong_reference(
        self, tenant: Tenant, name: str, account: str, held: list[str], present: bool
    ) -> Iterator[str]:
        where = f"{tenant.name}/{account}"
        if held.count(name) > 1:
            yield f"{where}: references {name} {held.count(name)} times"
        expected = self._expected(tenant, name, account, present)
        if expected is not None and (name in held) is not expected:
            yield f"{where}: {'does not reference' if expected else 'references'} {name}"

    def _expected(self, tenant: Tenant, name: str, account: str, present: bool) -> bool | None:
        """Return whether a ServiceAccount must reference a pull secret; None where either is right."""
        known = tenant.accounts[account]
        if name in tenant.may_dangle:
            # A reference may be somebody else's: it is not taken, and added only to what is ours.
            copy_is_ours = present and name not in tenant.foreign
            if not (copy_is_ours and included(account, name) and not known.disabled):
                return None
            return True
        if not wanted(tenant, name, self._world.active):
            return False
        if not included(account, name):
            return False
        if known.disabled:
            # It keeps what it had when it was disabled.
            return None if known.ever_enabled else False
        return True

    def _listed(self, tenant: Tenant, resource: str) -> dict[str, dict[str, Any]]:
        path = f"/api/v1/namespaces/{tenant.name}/{resource}"
        listed = self._playground.cluster.api.call("GET", path)
        kind = {"secrets": "Secret", "serviceaccounts": "ServiceAccount"}[resource]
        whole = {"kind": kind, "apiVersion": "v1"}
        return {item["metadata"]["name"]: {**whole, **item} for item in listed["items"]}


def _credentials(body: str) -> dict[str, tuple[str, str]]:
    """Return user and password by registry, of a dockerconfigjson in base64."""
    auths = json.loads(b64decode(body) or b"{}").get("auths", {})
    found = {}
    for registry, entry in auths.items():
        user, _, password = b64decode(entry["auth"]).decode().partition(":")
        found[registry] = (user, password)
    return found
