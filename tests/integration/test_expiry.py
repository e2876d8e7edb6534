"""A credential expires on a real API server: status, metrics, Events and commands change without a restart."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cluster.processes import PullSecrets
from tests.exposition import series
from tests.integration.site.commands import Ran, of_release
from tests.integration.site.playground import COPY, REGISTRY, SOURCE, Playground, eventually, pod

EXPIRES_AT = "pullsecrets.webhook/expires-at"
SIGNATURE = "c2lnbmF0dXJlLXRoYXQtaXMtbmV2ZXItc2hvd24"


def token(expires: datetime) -> str:
    """Return a JWT that a registry may accept as a password."""
    claims = {"exp": int(expires.timestamp()), "iat": int((expires - timedelta(days=365)).timestamp())}
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "RS256"}, claims)]
    return ".".join([*parts, SIGNATURE])


def annotate(ours: Playground, expires: str) -> None:
    body = {"metadata": {"annotations": {EXPIRES_AT: expires}}}
    ours.patch(ours.installation.namespace, "secrets", SOURCE, body)


def source(sync: PullSecrets) -> dict[str, Any]:
    code, text = sync.get("/status")
    assert code == 200
    (found,) = (each for each in json.loads(text)["sources"] if each["name"] == SOURCE)
    return dict(found)


def run(ours: Playground, *arguments: str) -> Ran:
    ran = of_release(ours, *arguments, f"--release-namespace={ours.installation.namespace}")
    assert SIGNATURE not in ran.out + ran.err
    return ran


def checked(ours: Playground) -> dict[str, str]:
    """Return the results of the checks of expiry that are not in order."""
    checks = json.loads(run(ours, "check", "-o", "json").out)["checks"]
    codes = {"PSW045", "PSW046", "PSW047", "PSW048"}
    return {each["code"]: each["result"] for each in checks if each["code"] in codes and each["result"] != "ok"}


def explained(ours: Playground, namespace: str) -> tuple[int, str]:
    """Return the exit code and the first line about a Pod."""
    ran = run(ours, "explain", "pod/web", "-n", namespace)
    return ran.code, ran.out.split("\n")[0]


def events(ours: Playground) -> set[str]:
    return {reason for reason, _ in ours.events(ours.installation.namespace)}


def copy_version(ours: Playground, namespace: str) -> str:
    found = ours.get(namespace, "secrets", COPY)
    assert found is not None
    return str(found["metadata"]["resourceVersion"])


def test_a_credential_expires_and_is_renewed(playground: Callable[..., Playground]) -> None:
    ours = playground()
    start = datetime.now(UTC).replace(microsecond=0)
    sync = ours.start_sync(token(start + timedelta(days=300)))
    ours.installation.start_serve().wait_ready()
    namespace = ours.namespace(selected=True)
    ours.await_selected(namespace, token(start + timedelta(days=300)))
    ours.create(namespace, "pods", pod("web", imagePullSecrets=[{"name": COPY}]))
    written = copy_version(ours, namespace)
    assert source(sync)["expiries"][0]["origin"] == "password"
    assert source(sync)["expiryReason"] == ""
    assert checked(ours) == {}
    code, line = explained(ours, namespace)
    assert (code, line.split(":")[0]) == (0, "PASS")

    # A warning by the annotation, which names an earlier time than the token.
    annotate(ours, (start + timedelta(days=2)).isoformat())
    eventually(lambda: source(sync)["expiryReason"], lambda seen: seen == "credential-expires-very-soon")
    eventually(lambda: events(ours), lambda seen: "CredentialExpiresSoon" in seen)
    assert checked(ours) == {"PSW046": "finding"}
    code, line = explained(ours, namespace)
    assert (code, line.split(":")[0]) == (0, "NOTE credential-expires-very-soon")

    # The expiry itself, a moment later and without any change.
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    annotate(ours, expires.isoformat())
    eventually(lambda: events(ours), lambda seen: "CredentialExpired" in seen, seconds=30)
    assert source(sync)["expiryReason"] == "credential-expired"
    metrics = series(sync.metrics())
    labels = f'registry="{REGISTRY}",source="{SOURCE}"'
    assert metrics[f"pullsecrets_sync_credential_expiry_timestamp_seconds{{{labels}}}"] == expires.timestamp()
    assert metrics['pullsecrets_sync_problems{reason="credential-expired"}'] == 1
    assert checked(ours) == {"PSW045": "finding"}
    code, line = explained(ours, namespace)
    assert (code, line.split(":")[0]) == (1, "STOP credential-expired")
    assert f"the credential for {REGISTRY} expired" in line
    assert f"create secret docker-registry {SOURCE} --docker-server={REGISTRY}" in line
    planned = json.loads(run(ours, "plan", "-n", namespace, "-o", "json").out)["rows"]
    assert [row["reason"] for row in planned if row["effect"] == "problem"] == ["credential-expired"]

    # A time that is no time hides nothing: the token's own time is back.
    annotate(ours, "soon")
    eventually(lambda: source(sync)["expiryReason"], lambda seen: seen == "")
    assert EXPIRES_AT in source(sync)["expiryProblem"]
    assert checked(ours) == {"PSW048": "finding"}
    eventually(lambda: events(ours), lambda seen: {"CredentialExpiryResolved", "CredentialExpiryUnreadable"} <= seen)
    assert copy_version(ours, namespace) == written, "a change of the annotation alone writes no copy"

    assert all(SIGNATURE not in message for _, message in ours.events(ours.installation.namespace))
    assert SIGNATURE not in sync.program.log.read_text()
