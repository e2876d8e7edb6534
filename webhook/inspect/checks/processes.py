"""Check the processes of the release, and on request the logins of the sources at their registries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook import __version__
from webhook.errors import Forbidden
from webhook.inspect.checks.result import Check, Context, Outcome, finding, note, unknown
from webhook.inspect.obstacles import read_holder
from webhook.kube.resources import Resource
from webhook.kube.wire import ObjectMeta, decoder
from webhook.registries.login import Login
from webhook.report.explain.obstacle import SKEW
from webhook.rules.dockerconfig import merge
from webhook.rules.registry_key import covering_keys
from webhook.rules.text import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from webhook.registries.login import LoginResult, Registries
    from webhook.rules.configuration import PullSecret
    from webhook.rules.dockerconfig import Credentials

DEPLOYMENTS = Resource("/apis/apps/v1", "Deployment", "deployments")
_VERSION_LABEL = "app.kubernetes.io/version"


class _Container(msgspec.Struct, frozen=True):
    image: str = ""


class _PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: tuple[_Container, ...] = ()
    service_account_name: str = ""


class _Template(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _Spec(msgspec.Struct, frozen=True):
    replicas: int = 1
    template: _Template = _Template()


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    ready_replicas: int = 0


class Deployment(msgspec.Struct, frozen=True):
    """An apps/v1 Deployment."""

    metadata: ObjectMeta
    spec: _Spec = _Spec()
    status: _Status = _Status()


_decode_deployment: Callable[[bytes], Deployment] = decoder(Deployment)


def _look(context: Context) -> Iterator[Outcome]:
    yield from _leader(context)
    found = list(_deployments(context))
    for each in found:
        if each.status.ready_replicas < each.spec.replicas:
            ready = f"{each.status.ready_replicas} of {each.spec.replicas}"
            command = f"kubectl -n {context.installed.release.namespace} describe deployment {each.metadata.name}"
            yield finding("PSW061", f"{ready} replicas of Deployment {each.metadata.name} are ready", command)
    images = {container.image for each in found for container in each.spec.template.spec.containers[:1]}
    if len(images) > 1:
        yield finding("PSW062", f"the Deployments run different images: {', '.join(sorted(images))}")
    webhook = context.installed.webhook
    version = (webhook.metadata.labels or {}).get(_VERSION_LABEL, "") if webhook else ""
    if version and version != __version__:
        yield note("PSW062", f"the chart is of version {version}, this command of {__version__}")


def _leader(context: Context) -> Iterator[Outcome]:
    holder = read_holder(context.reader, context.installed)
    obstacle = holder.obstacle(context.now)
    if obstacle is not None:
        yield finding("PSW060", f"{obstacle.why}: copies and references are not kept up to date; {obstacle.advice}")
    if holder.renewed is not None and holder.renewed - context.now > SKEW:
        ahead = (holder.renewed - context.now).total_seconds()
        yield finding("PSW063", f"the clock of {holder.identity} is {ahead:.0f} s ahead of this one")


def _deployments(context: Context) -> Iterator[Deployment]:
    installed = context.installed
    for role in ("webhook", "sync"):
        content = context.reader.one(DEPLOYMENTS, f"{installed.fullname}-{role}", installed.release.namespace)
        if content is not None:
            yield _decode_deployment(content)


def user_of(context: Context, role: str) -> str:
    """Return the user name of a role: its Deployment names the ServiceAccount, by default the chart's."""
    installed = context.installed
    name = f"{installed.fullname}-{role}"
    try:
        content = context.reader.one(DEPLOYMENTS, name, installed.release.namespace)
    except Forbidden:
        content = None
    account = "" if content is None else _decode_deployment(content).spec.template.spec.service_account_name
    return f"system:serviceaccount:{installed.release.namespace}:{account or name}"


def clock_skew(server: str, now: datetime) -> Iterator[Outcome]:
    """Yield the difference between the API server's clock and this one; the server's time is in whole seconds."""
    skew = datetime.fromisoformat(server).astimezone(UTC) - now
    if abs(skew) > SKEW:
        ahead = "ahead of" if skew > timedelta() else "behind"
        yield finding("PSW063", f"the clock of the API server is {abs(skew).total_seconds():.0f} s {ahead} this one")


PROCESSES = Check(("PSW060", "PSW061", "PSW062"), _look)


CODE = "PSW042"
PULL_CODE = "PSW057"
ON_REQUEST = frozenset({CODE, PULL_CODE})
"""Codes of checks that send credentials to registries."""

LOGINS_AT_ONCE = 8

SHOWN = 3
"""Pull secrets that one sentence names."""


def logins(registries: Registries) -> Check:
    """Return the check that logs in."""

    def look(context: Context) -> Iterator[Outcome]:
        sources = context.sources()
        tried = [
            (name, key, credential)
            for name in context.installed.configuration.source_names
            for key, credential in sorted((sources.credentials(name) or {}).items())
        ]
        with ThreadPoolExecutor(LOGINS_AT_ONCE, "login") as pool:
            results = pool.map(lambda each: registries.log_in(each[1], each[2]), tried)
            for (name, key, _), result in zip(tried, results, strict=True):
                yield from _outcome(name, key, result)

    return Check((CODE,), look)


def _outcome(source: str, key: str, result: LoginResult) -> Iterator[Outcome]:
    about = f"the credential of source {source} for {key}: {result.why}"
    if result.login is Login.REFUSED:
        yield finding(CODE, about)
    elif result.login is Login.UNKNOWN:
        yield unknown(CODE, about)


def pulls(registries: Registries, images: Sequence[str]) -> Check:
    """Return the check that tests each image with the credentials of each pull secret that covers it."""

    def look(context: Context) -> Iterator[Outcome]:
        contents = {entry.name: _content(context, entry) for entry in context.installed.configuration.pull_secrets}
        for image in images:
            tried = [(name, content) for name, content in contents.items() if covering_keys(content, image)]
            if not tried:
                yield _uncovered(context, image)
            for name, content in tried:
                yield from _pull_outcome(name, registries.pull(image, content))

    return Check((PULL_CODE,), look)


def _content(context: Context, entry: PullSecret) -> Credentials:
    """Return the credentials of a pull secret, as far as its sources can be read."""
    read = [(name, context.sources().credentials(name)) for name in entry.sources]
    return merge([(name, found) for name, found in read if found is not None]).credentials


def _uncovered(context: Context, image: str) -> Outcome:
    """Return the outcome for an image that no known credential covers."""
    entries, sources = context.installed.configuration.pull_secrets, context.sources()
    unknown_ones = [
        entry.name
        for entry in entries
        if entry.tokens or any(sources.credentials(name) is None for name in entry.sources)
    ]
    if unknown_ones:
        return unknown(PULL_CODE, f"{image}: not all credentials of {some(unknown_ones, SHOWN)} can be read here")
    return finding(PULL_CODE, f"no pull secret has a credential for {image}")


def _pull_outcome(secret: str, result: LoginResult) -> Iterator[Outcome]:
    detail = f"with pull secret {secret}: {result.why}"
    if result.login is Login.REFUSED:
        yield finding(PULL_CODE, detail)
    elif result.login is Login.UNKNOWN:
        yield unknown(PULL_CODE, detail)
