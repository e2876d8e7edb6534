"""What the steps of a day of life share: what they have done so far, and what they draw."""

from __future__ import annotations

import random

from tests.integration.day.tenants import GOLD, Account, Sources, Tenant, wanted
from tests.integration.site.playground import COPY, Playground

MERGE = "application/merge-patch+json"


class World:
    """The tenants, sources and pull secrets as the steps have left them."""

    def __init__(self, playground: Playground, seed: int) -> None:
        self.playground = playground
        self.api = playground.cluster.api
        self.random = random.Random(seed)  # noqa: S311 (to be repeatable)
        self.tenants: dict[str, Tenant] = {}
        self.sources = Sources()
        self.active = {COPY: True, GOLD: True}

    def tenant(self) -> Tenant | None:
        """Draw a namespace."""
        return self.random.choice(list(self.tenants.values())) if self.tenants else None

    def account(self) -> tuple[Tenant, str, Account] | None:
        """Draw a ServiceAccount."""
        tenant = self.tenant()
        if tenant is None:
            return None
        name = self.random.choice(sorted(tenant.accounts))
        return tenant, name, tenant.accounts[name]

    def copy(self) -> str | None:
        """Draw the path of a copy that is there, or soon will be."""
        copies = [
            path(tenant, "secrets", name)
            for tenant in self.tenants.values()
            for name in (COPY, GOLD)
            if wanted(tenant, name, self.active) and name not in tenant.foreign
        ]
        return self.random.choice(copies) if copies else None

    def wanted(self, tenant: Tenant) -> set[str]:
        """Return of which pull secrets a namespace is to have a copy."""
        return {name for name in (COPY, GOLD) if wanted(tenant, name, self.active)}

    def leave(self, tenant: Tenant, before: set[str]) -> None:
        """Note what is about to lose its place while it is not there: deleted, and not made again yet."""
        for name in before - self.wanted(tenant):
            if self.api.request("GET", path(tenant, "secrets", name)).status != 200:
                tenant.may_dangle.add(name)


def path(tenant: Tenant, resource: str, name: str = "") -> str:
    """Return the path of an object of a tenant, or of a collection."""
    return f"/api/v1/namespaces/{tenant.name}/{resource}" + (f"/{name}" if name else "")
