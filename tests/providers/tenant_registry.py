"""A private registry in which each namespace has a repository of its own, as Harbor and zot can have it.

Debian's docker-registry sends each client to the token service here. The service verifies the token of a ServiceAccount
with the public keys of the API server, and grants what its subject may pull: the repository of its namespace.

Source: https://distribution.github.io/distribution/spec/auth/token/; RFC 7517 (JWK); RFC 7518, section 3.4 (ES256).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import yaml
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.cluster.cluster import Cluster
from tests.cluster.ports import free_port
from tests.providers.answering import JsonHandler
from tests.providers.signer import Signer

PROGRAM = shutil.which("docker-registry")
ISSUER, SERVICE = "tenants.test", "tenants.test"
_SECONDS = 60
_CONFIG = b"{}"
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class TenantRegistry:
    """A running docker-registry and its token service, on loopback.

    ``jwks()`` returns the keys of the API server, and ``audience`` is the one that a token must have.
    """

    def __init__(self, cluster: Cluster, folder: Path, jwks: Callable[[], dict[str, Any]], audience: str) -> None:
        assert PROGRAM is not None
        pair = cluster.issue_serving("tenant-registry", "tenants.test")
        self._signer = Signer(pair)
        self._jwks = jwks
        self._audience = audience
        self.port, service_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        realm = f"http://127.0.0.1:{service_port}/token"
        auth = {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(cluster.ca_file)}
        document = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
            "auth": {"token": auth},
        }
        (folder / "registry.yml").write_text(yaml.safe_dump(document))
        self._service = _Service(("127.0.0.1", service_port), self)
        threading.Thread(target=self._service.serve_forever, name="tenant tokens", daemon=True).start()
        arguments = [PROGRAM, "serve", str(folder / "registry.yml")]
        self._process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._service.shutdown()
        self._service.server_close()

    def answers(self) -> bool:
        """Return whether the registry listens."""
        try:
            return _call(f"{self.url}/v2/")[0] == HTTPStatus.UNAUTHORIZED
        except OSError:
            return False

    def push(self, namespace: str) -> None:
        """Put an image into the repository of a namespace."""
        access = [{"type": "repository", "name": f"{namespace}/app", "actions": ["pull", "push"]}]
        bearer = {"Authorization": f"Bearer {self.bearer('test', access)}"}
        digest = f"sha256:{hashlib.sha256(_CONFIG).hexdigest()}"
        _, headers, _ = _call(f"{self.url}/v2/{namespace}/app/blobs/uploads/", bearer, "POST", b"")
        location = f"{headers['Location']}&digest={quote(digest)}"
        put, _, _ = _call(location, {**bearer, "Content-Type": "application/octet-stream"}, "PUT", _CONFIG)
        assert put == HTTPStatus.CREATED
        kind = "application/vnd.docker.container.image.v1+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": {"mediaType": kind, "size": len(_CONFIG), "digest": digest},
            "layers": [],
        }
        headers = {**bearer, "Content-Type": _MANIFEST_TYPE}
        where = f"{self.url}/v2/{namespace}/app/manifests/1"
        assert _call(where, headers, "PUT", json.dumps(manifest).encode())[0] == HTTPStatus.CREATED

    def pull(self, namespace: str, user: str, password: str) -> int:
        """Pull the manifest of a namespace's image as container runtimes do; return the status of the registry."""
        where = f"{self.url}/v2/{namespace}/app/manifests/1"
        status, headers, _ = _call(where)
        assert status == HTTPStatus.UNAUTHORIZED, "every pull needs a token"
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', headers["WWW-Authenticate"]))
        query = f"service={quote(challenge['service'])}&scope={quote(challenge['scope'])}"
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        status, _, body = _call(f"{challenge['realm']}?{query}", {"Authorization": f"Basic {basic}"})
        if status != HTTPStatus.OK:
            return status
        token = json.loads(body)["token"]
        return _call(where, {"Authorization": f"Bearer {token}", "Accept": _MANIFEST_TYPE})[0]

    def bearer(self, subject: str, access: list[dict[str, Any]]) -> str:
        """Return a token of the registry with these grants."""
        now = int(time.time())
        times = {"iat": now, "nbf": now, "exp": now + _SECONDS}
        return self._signer.sign({"iss": ISSUER, "aud": SERVICE, "sub": subject, "access": access, **times})

    def subject_of(self, jwt: str) -> str | None:
        """Return the subject of a token of this cluster that is valid now, for our audience; None for any other."""
        try:
            header, claims = (json.loads(_decoded(part)) for part in jwt.split(".")[:2])
            keys = {key["kid"]: key for key in self._jwks()["keys"]}
            _verify(keys[header["kid"]], jwt)
        except (ValueError, KeyError, InvalidSignature):
            return None
        valid = self._audience in claims["aud"] and claims["nbf"] <= time.time() < claims["exp"]
        return str(claims["sub"]) if valid else None


class _Service(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: TenantRegistry) -> None:
        super().__init__(address, _Handler)
        self.registry = registry


class _Handler(JsonHandler):
    server: _Service

    def do_GET(self) -> None:  # noqa: N802 (as in the base class)
        """Exchange the token of a ServiceAccount for one of the registry."""
        registry = self.server.registry
        basic = self.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(basic).decode().partition(":")
        subject = registry.subject_of(password) if user == "jwt" else None
        if subject is None:
            self.answer(HTTPStatus.UNAUTHORIZED, {"details": "this is not a token for this registry"})
            return
        namespace = subject.split(":")[2]
        asked = [scope.split(":") for scope in parse_qs(urlsplit(self.path).query).get("scope", [])]
        access = [
            {"type": kind, "name": name, "actions": ["pull"]} for kind, name, _ in asked if name == f"{namespace}/app"
        ]
        self.answer(HTTPStatus.OK, {"token": registry.bearer(subject, access)})


def _call(
    url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, body, headers or {}, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def _verify(key: dict[str, str], jwt: str) -> None:
    signed, _, signature = jwt.rpartition(".")
    raw = _decoded(signature)
    if key["kty"] == "EC":
        numbers = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), ec.SECP256R1())
        half = len(raw) // 2
        der = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
        numbers.public_key().verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    else:
        public = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
        public.verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
