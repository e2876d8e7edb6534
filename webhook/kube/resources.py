"""Define the kinds of objects that this project reads or writes, and their paths at the API server."""

from __future__ import annotations

from urllib.parse import quote

import msgspec


class Resource(msgspec.Struct, frozen=True):
    """A kind of object at the API server; ``prefix`` is ``/api/v1`` or ``/apis/<group>/<version>``."""

    prefix: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of the kind's objects."""
        return self.prefix.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the URL path of the collection, or of one object; without a namespace, across all of them."""
        # Names are quoted, because a slash in one would make it another path, and the request one about another object.
        parts = [self.prefix]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        return "/".join(parts)


class Collection(msgspec.Struct, frozen=True):
    """A set of objects to reflect: a resource in one namespace or in all, optionally one name or a field selector."""

    resource: Resource
    namespace: str | None = None
    name: str | None = None
    fields: str = ""

    @property
    def path(self) -> str:
        """The URL path of the collection."""
        return self.resource.path(self.namespace)

    @property
    def selector(self) -> dict[str, str]:
        """The query that selects the objects; the API server also authorizes list and watch with the name by it."""
        fields = self.fields if self.name is None else f"metadata.name={self.name}"
        return {"fieldSelector": fields} if fields else {}

    def __str__(self) -> str:
        scope = f" in {self.namespace}" if self.namespace else ""
        return (
            f"{self.resource.plural}{scope}"
            + (f" named {self.name}" if self.name else "")
            + (f" with {self.fields}" if self.fields else "")
        )


NAMESPACES = Resource("/api/v1", "Namespace", "namespaces")
CONFIG_MAPS = Resource("/api/v1", "ConfigMap", "configmaps")
PODS = Resource("/api/v1", "Pod", "pods")
SECRETS = Resource("/api/v1", "Secret", "secrets")
SERVICE_ACCOUNTS = Resource("/api/v1", "ServiceAccount", "serviceaccounts")
EVENTS = Resource("/api/v1", "Event", "events")
LEASES = Resource("/apis/coordination.k8s.io/v1", "Lease", "leases")
MUTATING_WEBHOOK_CONFIGURATIONS = Resource(
    "/apis/admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"
)
