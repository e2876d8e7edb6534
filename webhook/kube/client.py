"""Send requests to the API server: bytes in, bytes out, exceptions of our own.

Requests go through a urllib3 pool, which never retries; the caller decides whether a write is repeated. A response
counts only if it is about the object of the request. The page of a proxy never counts, neither with status 200 nor with
404.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from webhook import __version__
from webhook.errors import ApiUnavailable, Fenced, Forbidden, Interrupted, ResponseTooLarge, Throttled
from webhook.kube.connections import RequestFenced, RequestInterrupted, pool_of, use_once
from webhook.kube.resources import PODS, SERVICE_ACCOUNTS
from webhook.kube.response import encode_fields
from webhook.kube.service_account_token import audiences_of, decode_token, token_request
from webhook.kube.status import JSON_PATCH, error_from_response, not_from_api_server
from webhook.kube.stream import Stream, unavailable
from webhook.kube.wire import decode_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from urllib3 import BaseHTTPResponse

    from webhook.errors import ApiError
    from webhook.kube.access import Access
    from webhook.kube.connections import Pool
    from webhook.kube.connectivity import Connectivity
    from webhook.kube.resources import Resource
    from webhook.kube.response import Response
    from webhook.kube.rights import MissingRights
    from webhook.kube.service_account_token import ServiceAccountJwt

    Observer: TypeAlias = Callable[[str, int, float], None]

REQUEST_TIMEOUT = 15.0
"""Seconds for which the API server may be silent during a request: more than its own slow writes take."""

CONNECT_TIMEOUT = 5.0
"""Seconds for a TCP connection and its TLS handshake."""

USER_AGENT = f"pull-secret-webhook/{__version__}"

WATCH_POOL = {"headers": {"User-Agent": USER_AGENT}}
"""Separates the pool of the watches from that of the other requests. Each watch opens a new connection, because an idle
one may lead to an API server that is behind."""


class Client:
    """A client of one API server with one identity; safe for any number of threads."""

    def __init__(
        self,
        access: Access,
        observer: Observer | None,
        on_throttled: Callable[[float], None] | None,
        connectivity: Connectivity,
        request_timeout: float,
        rights: MissingRights | None = None,
    ) -> None:
        self.connectivity = connectivity
        self._access = access
        # Before the pools are opened, because a pool gets the class of its connections when it is created.
        connectivity.follow(access.pool)
        self._open_pools()
        # A proxy without a tunnel needs the whole URL.
        forwarded = self._pool.proxy is not None and self._pool.scheme == "http"
        self._base = access.host if forwarded else urlsplit(access.host).path
        self._observer = observer
        self._on_throttled = on_throttled
        self._request_timeout = request_timeout
        self._rights = rights
        self._may_write: Callable[[], bool] | None = None
        # Threads share it without a lock: at worst two of them encode the same fields.
        self._encoded_fields: dict[str, tuple[str, bytes]] = {}

    def fenced(self, may_write: Callable[[], bool]) -> Client:
        """Return a client on the same connections that calls ``may_write()`` right before it sends a write.

        So a process that was suspended between its own check and the write sends nothing when it resumes.
        """
        client = copy(self)
        client._may_write = may_write  # noqa: SLF001 - of the same class
        return client

    @property
    def host(self) -> str:
        """The URL of the API server."""
        return self._access.host

    def close(self) -> None:
        """Close every pooled connection."""
        self._pool.close()
        self._watches.close()
        self._access.pool.clear()  # otherwise it would keep handing out the closed pool

    def reconnect(self) -> None:
        """Close every pooled connection, so that the next request opens a new one."""
        self.close()
        self._open_pools()

    def _open_pools(self) -> None:
        # The pool of this one host: to look it up by the whole URL costs a tenth of each request.
        self._pool = pool_of(self._access.pool, self._access.host)
        self._watches = pool_of(self._access.pool, self._access.host, WATCH_POOL)

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> bytes:
        """Return one object as JSON."""
        return self._request_object(name, "GET", resource.path(namespace, name))

    def apply(self, resource: Resource, body: Mapping[str, Any], *, field_manager: str, force: bool) -> bytes:
        """Create or update an object by server-side apply and return what is stored.

        Authorized as ``patch``, and where the object is absent also as ``create``, both with its name: so RBAC can
        grant it by ``resourceNames`` (k8s.io/apiserver, pkg/endpoints/handlers/patch.go).

        Raises:
            Conflict: another field manager owns a field and ``force`` is false, or the resourceVersion in ``body`` is
                not the current one.
        """
        # The API server refuses a body whose name is not that of the URL (400), so both come from the body.
        metadata = body["metadata"]
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        path = resource.path(metadata.get("namespace"), metadata["name"])
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        content_type = "application/apply-patch+yaml"
        return self._request_object(metadata["name"], "PATCH", path, query=query, body=full, content_type=content_type)

    def json_patch(
        self, resource: Resource, name: str, operations: list[Any], namespace: str | None = None, *, field_manager: str
    ) -> bytes:
        """Apply an RFC 6902 patch, which should start with a ``test``, and return the object.

        Raises:
            Conflict: a ``test`` failed (the API server returns 422), or the object has changed in the meantime.
        """
        path = resource.path(namespace, name)
        query = {"fieldManager": field_manager}
        return self._request_object(name, "PATCH", path, query=query, body=operations, content_type=JSON_PATCH)

    def merge_patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        *,
        field_manager: str,
    ) -> bytes:
        """Apply an RFC 7386 merge patch, conditional on a ``metadata.resourceVersion`` in it, and return the object.

        Raises:
            Conflict: the given resourceVersion is not current.
        """
        path = resource.path(namespace, name)
        query = {"fieldManager": field_manager}
        content_type = "application/merge-patch+json"
        return self._request_object(name, "PATCH", path, query=query, body=body, content_type=content_type)

    def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> bytes:
        """Create an object by POST and return what is stored."""
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return self.request("POST", resource.path(namespace), body=full, content_type="application/json")

    def delete(self, resource: Resource, name: str, namespace: str | None, *, uid: str, resource_version: str) -> None:
        """Delete exactly the object that was seen.

        Raises:
            Conflict: the object has changed, or another one has its name now.
        """
        # The UID protects an object that was created again with the name, and the resourceVersion one that was edited.
        body = {"preconditions": {"uid": uid, "resourceVersion": resource_version}}
        self._request_object(name, "DELETE", resource.path(namespace, name), body=body, content_type="application/json")

    def evict(self, namespace: str, name: str, *, uid: str, resource_version: str) -> None:
        """Evict exactly the Pod that was seen, if its PodDisruptionBudgets allow it.

        Source: k8s.io/kubernetes, pkg/registry/core/pod/storage/eviction.go.

        Raises:
            Conflict: the Pod has changed, or another one has its name now.
            Refused: a PodDisruptionBudget or a policy does not allow it.
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid, "resourceVersion": resource_version}},
        }
        # The response is a Status that names no Pod (eviction.go), so a name cannot be compared here.
        self.request("POST", f"{PODS.path(namespace, name)}/eviction", body=body, content_type="application/json")

    def request_token(self, namespace: str, name: str, audience: str, seconds: float) -> ServiceAccountJwt:
        """Return a token of a ServiceAccount for one audience, valid for about so many seconds.

        Raises:
            CredentialsNotIssued: the audience is one of the API server.
            ApiError: the API server did not issue it.
        """
        # Each audience of this client's own token is one of the API server.
        own = audiences_of(self._authorization().removeprefix("Bearer "))
        path = f"{SERVICE_ACCOUNTS.path(namespace, name)}/token"
        body = token_request(audience, seconds, own)
        token = decode_token(self.request("POST", path, body=body, content_type="application/json"), audience, own)
        if token is None:
            raise ApiUnavailable(f"POST {path}: the answer is not a token for this audience", status=HTTPStatus.OK)
        return token

    def delete_unseen(self, resource: Resource, name: str) -> None:
        """Delete a cluster-wide object by its name alone, for callers that lack the right to read it."""
        self._request_object(name, "DELETE", resource.path(None, name))

    def _request_object(self, name: str, method: str, path: str, **options: Any) -> bytes:  # noqa: ANN401 (request's own)
        """Send one request about one object and return the response; ApiUnavailable if that is about something else."""
        data = self.request(method, path, **options)
        # A DELETE is answered with the object or with a Status. Both name the object.
        if decode_identity(data).of != name:
            raise ApiUnavailable(f"{method} {path}: the answer is not about this object", status=HTTPStatus.OK)
        return data

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "",
        max_bytes: int | None = None,
    ) -> bytes:
        """Send one request and return the body of a 2xx response, which may have up to ``max_bytes`` bytes.

        Raises:
            Fenced: this client may not write, so nothing was sent.
            ResponseTooLarge: the body has more bytes than that; the rest of it was not read.
            ApiError: one of its subclasses, for every other outcome.
        """
        target = self._target(path, query)
        payload = None if body is None else msgspec.json.encode(body)
        started = time.monotonic()
        status = 0
        error: ApiError | None = None
        try:
            response: Response | BaseHTTPResponse
            # The short way reads a response whole, of any size. A page of a list has a limit, so it is read in parts.
            if max_bytes is None:
                response = self._exchange(method, target, payload, content_type)
                data = response.data
            else:
                deadline = urllib3.Timeout(connect=CONNECT_TIMEOUT, total=self._request_timeout)
                response = self._open(self._pool, method, target, deadline)
                data = _read(method, path, response, max_bytes)
            status = response.status
            error = _error_in(method, path, response, data, content_type)
        # Kept and raised later: the observers must see every request, also one that failed.
        except ResponseTooLarge as failure:
            error = failure
        except RequestFenced:
            # Nothing was sent, so there is nothing to observe.
            raise Fenced(f"{method} {path}: not sent, because this process does not lead any more") from None
        except RequestInterrupted:
            error = Interrupted(f"{method} {path}: no answer while others waited")
        except (HTTPError, OSError) as failure:
            error = unavailable(method, path, failure)
        self._observe(method, path, query, status, started, error)
        if error is not None:
            raise error from None
        return data

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], *, inactivity: float) -> Iterator[Stream]:
        """Open a watch; the context ends it. After ``inactivity`` silent seconds the peer counts as gone.

        Until the watch begins, it is a request like others: the API server responds immediately and is silent only
        later.

        Raises:
            ApiError: the server did not begin to stream.
        """
        deadline = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=self._request_timeout)
        started = time.monotonic()
        status, error = 0, None
        try:
            response = self._open(self._watches, "GET", self._target(path, query), deadline)
            status = response.status
            # First, because a response has no connection any more when its body has been read.
            use_once(response.connection)
            # The body of a 200 is the watch itself: to read it here would wait for its end.
            data = b"" if status == 200 else response.data  # noqa: PLR2004
            error = _error_in("WATCH", path, response, data)
        except RequestInterrupted:
            error = Interrupted(f"WATCH {path}: no answer while a newer one was needed")
        except (HTTPError, OSError) as failure:
            error = unavailable("WATCH", path, failure)
        self._observe("WATCH", path, query, status, started, error)
        if error is not None:
            raise error from None
        try:
            yield Stream(response, path, inactivity)
        finally:
            # Not release_conn: unread data on the connection belongs to this watch.
            response.close()

    def _exchange(self, method: str, target: str, body: bytes | None, content_type: str) -> Response:
        return self._pool.exchange(
            method,
            target,
            self._fields(content_type),
            body,
            connect_timeout=CONNECT_TIMEOUT,
            timeout=self._request_timeout,
            # Reads are not fenced: a standby reads as well, and a late read does no harm.
            may_send=None if method == "GET" else self._may_write,
        )

    def _open(self, pool: Pool, method: str, target: str, timeout: urllib3.Timeout) -> BaseHTTPResponse:
        """Send a request whose response is read in parts."""
        return pool.urlopen(
            method,
            target,
            headers=self._headers("", self._authorization()),
            timeout=timeout,
            # A redirect would take the token to another host. The caller decides whether a request is repeated.
            retries=False,
            redirect=False,
            # Through a proxy without a tunnel, the pool is that of the proxy, and the URL names the API server.
            assert_same_host=False,
            preload_content=False,
        )

    def _target(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self._base}{path}?{_encode_query(tuple(query.items()))}" if query else f"{self._base}{path}"

    def _fields(self, content_type: str) -> bytes:
        """Return the header fields of a request as they are sent, encoded once for each token."""
        authorization = self._authorization()
        cached = self._encoded_fields.get(content_type)
        if cached is None or cached[0] != authorization:
            pool = self._pool
            headers = {
                "Host": pool.host_header,
                # The API server would compress bodies of 128 KiB or more with gzip, and the parser cannot decompress.
                "Accept-Encoding": "identity",
                **self._headers(content_type, authorization),
            }
            # With https, urllib3 sends them in CONNECT. The API server must not see the password of the proxy.
            if pool.proxy is not None and pool.scheme == "http":
                headers |= pool.proxy_headers
            cached = self._encoded_fields[content_type] = authorization, encode_fields(headers)
        return cached[1]

    def _headers(self, content_type: str, authorization: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if content_type:
            headers["Content-Type"] = content_type
        if authorization:
            headers["Authorization"] = authorization
        return headers

    def _authorization(self) -> str:
        try:
            # A token file written by a person ends in a line break; client-go strips it too.
            authorization = self._access.authorization().strip()
        except (OSError, ValueError) as error:
            raise ApiUnavailable(f"the credentials cannot be read again ({type(error).__name__})") from None
        if not (authorization.isascii() and authorization.isprintable()):
            # http.client would refuse it as well, but with the token in its message.
            raise Forbidden("the bearer token has a character that no HTTP header may have", status=401)
        return authorization

    def _observe(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        status: int,
        started: float,
        error: ApiError | None,
    ) -> None:
        self.connectivity.note(error, started, may_be_delayed=method not in ("GET", "WATCH"))
        if self._observer is not None:
            self._observer(method, status, time.monotonic() - started)
        if self._rights is not None:
            self._rights.note(method, path, query, error)
        if self._on_throttled is not None and isinstance(error, Throttled) and error.retry_after:
            self._on_throttled(error.retry_after)


@lru_cache(maxsize=256)
def _encode_query(query: tuple[tuple[str, str], ...]) -> str:
    """Return a query as it is sent; most requests have one of a few."""
    return urlencode(query)


def _error_in(
    method: str, path: str, response: Response | BaseHTTPResponse, data: bytes, content_type: str = ""
) -> ApiError | None:
    """Return the error of a response; None for one that the API server sends after it has done as requested."""
    if not 200 <= response.status < 300:  # noqa: PLR2004
        return error_from_response(method, path, response.status, response.headers, data, content_type)
    # A login page often has status 200, and its type shows that it is not of the API server.
    if not response.headers.get("Content-Type", "application/json").startswith("application/json"):
        return not_from_api_server(method, path, response.status, response.headers)
    return None


def _read(method: str, path: str, response: BaseHTTPResponse, max_bytes: int) -> bytes:
    """Return a body; if it has more than ``max_bytes`` bytes, close the connection and raise ResponseTooLarge."""
    parts: list[bytes] = []
    size = 0
    for part in response.stream(65536, decode_content=False):
        size += len(part)
        if size > max_bytes:
            # Closed, not released: the unread rest would be taken for the next response on this connection.
            response.close()
            raise ResponseTooLarge(
                f"{method} {path}: the answer has more than {max_bytes} bytes", status=response.status
            )
        parts.append(part)
    response.release_conn()
    return b"".join(parts)
