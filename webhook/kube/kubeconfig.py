"""Read kubeconfig files that contain only an address, certificates and a token.

Source: k8s.io/client-go/tools/clientcmd/api/v1/types.go.
"""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from webhook.kube.access import Access, Tls, TokenFile, goes_through_a_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of libyaml, if PyYAML was built with it."""


# An unknown field may change the connection, as proxy-url and tls-server-name do. The package reads such a file.
class _Cluster(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""


# Exec plugins, OIDC and impersonation are unknown fields here, for the same reason.
class _User(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_key: str = ""


class _Context(msgspec.Struct):
    cluster: str
    user: str
    namespace: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    # Read as a mapping first: clusters and users of other contexts may have any fields.
    cluster: dict[str, Any]


class _NamedUser(msgspec.Struct):
    name: str
    user: dict[str, Any]


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


_N = TypeVar("_N", _NamedCluster, _NamedUser, _NamedContext)


class _Contexts(msgspec.Struct, rename="kebab"):
    contexts: list[_NamedContext] = []
    current_context: str = ""


class _Document(msgspec.Struct, rename="kebab"):
    clusters: list[_NamedCluster]
    users: list[_NamedUser]
    contexts: list[_NamedContext]
    current_context: str = ""


def plain_access(path: Path, context: str | None = None) -> Access | None:
    """Return the access that a kubeconfig file describes; None if it contains more than this module reads.

    None also stands for an invalid file: the full reader reports the error in it.

    Raises:
        OSError: the file, or one that it names, cannot be read.
        ValueError: a token's file is empty, or a value is not the base64 or text that it must be.
    """
    try:
        document = msgspec.convert(yaml.load(path.read_bytes(), Loader=_LOADER), _Document)  # noqa: S506 (it is safe)
        chosen = _only(document.contexts, context or document.current_context).context
        cluster = msgspec.convert(_only(document.clusters, chosen.cluster).cluster, _Cluster)
        user = msgspec.convert(_only(document.users, chosen.user).user, _User)
    except (msgspec.ValidationError, yaml.YAMLError, LookupError):
        return None
    scheme, separator, _ = cluster.server.partition("://")
    if not separator or scheme not in ("http", "https") or goes_through_a_proxy():
        return None
    # Without TLS the certificates are not needed, so broken ones must not be an error.
    tls = _tls(cluster, user, path.parent) if scheme == "https" else Tls()
    tls.check()
    return Access(cluster.server.rstrip("/"), tls.pool(), _authorization(user, path.parent))


def kubeconfig_files(kubeconfig: Path | None) -> list[Path]:
    """Return the files that kubectl would read."""
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    # KUBECONFIG may list several files, which kubectl merges.
    return [kubeconfig] if kubeconfig else named or [Path.home() / ".kube" / "config"]


def default_namespace(paths: Sequence[Path], context: str = "") -> str:
    """Return the namespace of the current context, from the first of these files that has it; else ``default``."""
    documents = list(_documents(paths))
    chosen = context or next((entry.current_context for entry in documents if entry.current_context), "")
    for document in documents:
        for entry in document.contexts:
            if entry.name == chosen:
                return entry.context.namespace or "default"
    return "default"


def context_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of all contexts of these files, in their order."""
    names = (entry.name for document in _documents(paths) for entry in document.contexts)
    return list(dict.fromkeys(names))


def _documents(paths: Sequence[Path]) -> Iterator[_Contexts]:
    """Yield the readable files. The code that connects reports the error in any other."""
    for path in paths:
        try:
            content = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 (it is safe)
            yield msgspec.convert(content, _Contexts)
        except (OSError, msgspec.ValidationError, yaml.YAMLError):
            continue


def _only(named: list[_N], name: str) -> _N:
    matching = [entry for entry in named if entry.name == name]
    # The full reader decides what a repeated name means.
    if len(matching) != 1:
        raise LookupError
    return matching[0]


def _tls(cluster: _Cluster, user: _User, folder: Path) -> Tls:
    data = b64decode(cluster.certificate_authority_data, validate=True).decode("ascii")
    return Tls(
        # As in client-go, the data in the kubeconfig wins over the file that it names.
        ca_file=None if data else _file(folder, cluster.certificate_authority),
        ca_data=data or None,
        cert_file=_file(folder, user.client_certificate),
        key_file=_file(folder, user.client_key),
    )


def _file(folder: Path, name: str) -> str | None:
    # Relative paths are relative to the folder of the kubeconfig file.
    return str(folder / name) if name else None


def _authorization(user: _User, folder: Path) -> Callable[[], str]:
    if user.token:
        header = f"Bearer {user.token}"
        return lambda: header
    return TokenFile(folder / user.token_file) if user.token_file else str
