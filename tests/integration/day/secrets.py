"""What people do to copies, to what has their name, and to sources; each step says whether it has done anything."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.cluster.api import Answer
from tests.integration.day.tenants import GHCR, GOLD, HARBOR, Tenant, source_data
from tests.integration.day.world import MERGE, World, path
from tests.integration.site.playground import COPY


class CopySteps:
    """Copies are deleted, edited and disowned, and Secrets of others have their names."""

    def __init__(self, world: World) -> None:
        self._world = world

    def delete_copy(self) -> bool:
        found = self._world.copy()
        return found is not None and self._world.api.request("DELETE", found).status == 200

    def edit_copy(self) -> bool:
        return self._patch_copy({"data": {".dockerconfigjson": "e30="}}) is not None

    def freeze_copy(self) -> bool:
        return self._patch_copy({"immutable": True}) is not None

    def disown_copy(self) -> bool:
        """Take our label from a copy: from then on it is somebody else's."""
        tenant, name = self._world.tenant(), self._world.random.choice((COPY, GOLD))
        if tenant is None or name in tenant.foreign:
            return False
        body = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}
        return self._adopt(tenant, name, self._world.api.request("PATCH", path(tenant, "secrets", name), body, MERGE))

    def create_foreign(self) -> bool:
        tenant, name = self._world.tenant(), self._world.random.choice((COPY, GOLD))
        if tenant is None or name in tenant.foreign:
            return False
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"theirs": name}}
        return self._adopt(tenant, name, self._world.api.request("POST", path(tenant, "secrets"), body))

    def delete_foreign(self) -> bool:
        tenants = [tenant for tenant in self._world.tenants.values() if tenant.foreign]
        if not tenants:
            return False
        tenant = self._world.random.choice(tenants)
        name = self._world.random.choice(sorted(tenant.foreign))
        del tenant.foreign[name]
        return self._world.api.request("DELETE", path(tenant, "secrets", name)).status == 200

    def _adopt(self, tenant: Tenant, name: str, answer: Answer) -> bool:
        if answer.status not in (200, 201):
            return False  # there is none, or another one
        tenant.foreign[name] = answer.json()
        tenant.may_dangle.add(name)
        return True

    def _patch_copy(self, body: dict[str, Any]) -> str | None:
        found = self._world.copy()
        # 404 where there is none, 422 where it is immutable.
        return found if found and self._world.api.request("PATCH", found, body, MERGE).status == 200 else None


class SourceSteps:
    """Sources are rotated, broken and deleted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made = 0
        for source in (HARBOR, GHCR):
            self._set(source)

    def mend(self) -> None:
        """Make every source valid that is not."""
        for source, password in self._world.sources.passwords.items():
            if password is None:
                self._set(source)

    def rotate(self) -> bool:
        self._set(self._world.random.choice((HARBOR, GHCR)))
        return True

    def break_source(self) -> bool:
        source = self._world.random.choice((HARBOR, GHCR))
        self._write(source, {".dockerconfigjson": b64encode(b'{"auths": {}}').decode()})
        self._world.sources.passwords[source] = None
        return True

    def delete_source(self) -> bool:
        source = self._world.random.choice((HARBOR, GHCR))
        self._world.sources.passwords[source] = None
        return self._world.api.request("DELETE", self._path(source)).status == 200

    def _set(self, source: str) -> None:
        self._made += 1
        password = f"password-{self._made}"
        self._write(source, source_data(source, password))
        self._world.sources.passwords[source] = password

    def _write(self, source: str, data: dict[str, str]) -> None:
        body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson", "data": data}
        query, metadata = "?fieldManager=test&force=true", {"name": source}
        path = self._path(source) + query
        self._world.api.call("PATCH", path, {**body, "metadata": metadata}, "application/apply-patch+yaml")

    def _path(self, source: str) -> str:
        return f"/api/v1/namespaces/{self._world.playground.installation.namespace}/secrets/{source}"
