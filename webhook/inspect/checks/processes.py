"""Check the processes of the release: their leader, their replicas and their versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook import __version__
from webhook.errors import Forbidden
from webhook.inspect.checks.result import Check, CheckResult, Context, finding, note
from webhook.inspect.obstacles import read_holder
from webhook.inspect.release import DEPLOYMENTS
from webhook.kube.wire import ObjectMeta, decoder
from webhook.report.explain.obstacle import SKEW
from webhook.rules.text import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VERSION_LABEL = "app.kubernetes.io/version"
_ROLES = ("webhook", "sync")


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


def _look(context: Context) -> Iterator[CheckResult]:
    deployments = list(_deployments(context))
    names = {f"{context.installed.fullname}-{role}" for role in _ROLES}
    if absent := sorted(names - {deployment.metadata.name for deployment in deployments}):
        subject = f"Deployment {absent[0]} does" if deployments else f"Deployments {listed(absent)} do"
        # The chart makes both or none: with deployments.enabled off, the processes run elsewhere.
        absence = finding if deployments else note
        yield absence("PSW061", f"{subject} not exist, so no replicas were counted")
        yield note("PSW062", f"{subject} not exist, so no images were compared")
    for deployment in deployments:
        if deployment.status.ready_replicas < deployment.spec.replicas:
            ready = f"{deployment.status.ready_replicas} of {deployment.spec.replicas}"
            command = f"kubectl -n {context.installed.release.namespace} describe deployment {deployment.metadata.name}"
            yield finding("PSW061", f"{ready} replicas of Deployment {deployment.metadata.name} are ready", command)
    images = {
        container.image for deployment in deployments for container in deployment.spec.template.spec.containers[:1]
    }
    if len(images) > 1:
        yield finding("PSW062", f"the Deployments run different images: {', '.join(sorted(images))}")
    webhook = context.installed.webhook
    version = (webhook.metadata.labels or {}).get(_VERSION_LABEL, "") if webhook else ""
    if version and version != __version__:
        yield note("PSW062", f"the chart is of version {version}, this command of {__version__}")


def _leader(context: Context) -> Iterator[CheckResult]:
    holder = read_holder(context.reader, context.installed)
    obstacle = holder.obstacle(context.now)
    if obstacle is not None:
        yield finding("PSW060", f"{obstacle.message}: copies and references are not kept up to date; {obstacle.advice}")
    if holder.renewed is not None and holder.renewed - context.now > SKEW:
        ahead = (holder.renewed - context.now).total_seconds()
        yield finding("PSW063", f"the clock of {holder.identity} is {ahead:.0f} s ahead of this one")


def _deployments(context: Context) -> Iterator[Deployment]:
    installed = context.installed
    for role in _ROLES:
        content = context.reader.get(DEPLOYMENTS, f"{installed.fullname}-{role}", installed.release.namespace)
        if content is not None:
            yield _decode_deployment(content)


def user_of(context: Context, role: str) -> str:
    """Return the user name of a role: its Deployment names the ServiceAccount, by default the chart's."""
    installed = context.installed
    name = f"{installed.fullname}-{role}"
    try:
        content = context.reader.get(DEPLOYMENTS, name, installed.release.namespace)
    except Forbidden:
        content = None
    account = "" if content is None else _decode_deployment(content).spec.template.spec.service_account_name
    return f"system:serviceaccount:{installed.release.namespace}:{account or name}"


def clock_skew(server: str, now: datetime) -> Iterator[CheckResult]:
    """Yield the difference between the API server's clock and this one; the server's time is in whole seconds."""
    skew = datetime.fromisoformat(server).astimezone(UTC) - now
    if abs(skew) > SKEW:
        ahead = "ahead of" if skew > timedelta() else "behind"
        yield finding("PSW063", f"the clock of the API server is {abs(skew).total_seconds():.0f} s {ahead} this one")


LEADER = Check(("PSW060",), _leader)

PROCESSES = Check(("PSW061", "PSW062"), _look)
