"""The processes: who leads, whether replicas are ready, whether they are of one version, and what their clocks say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from webhook import __version__
from webhook.kube.lease import Lease
from webhook.kube.resources import LEASES, Resource
from webhook.kube.wire import ObjectMeta, decoder
from webhook.live.check.outcome import Check, Context, Outcome, finding, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPLOYMENTS = Resource("/apis/apps/v1", "Deployment", "deployments")
SKEW = timedelta(seconds=5)
"""How far two clocks may be apart: the Lease bears no more than that, certificates bear minutes."""

_VERSION_LABEL = "app.kubernetes.io/version"


class _Container(msgspec.Struct, frozen=True):
    image: str = ""


class _PodSpec(msgspec.Struct, frozen=True):
    containers: tuple[_Container, ...] = ()


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
_decode_lease: Callable[[bytes], Lease] = decoder(Lease)


def _look(context: Context) -> Iterator[Outcome]:
    yield from _leader(context)
    found = list(_deployments(context))
    for each in found:
        if each.status.ready_replicas < each.spec.replicas:
            ready = f"{each.status.ready_replicas} of {each.spec.replicas}"
            yield finding("PSW061", f"{ready} replicas of Deployment {each.metadata.name} are ready")
    images = {container.image for each in found for container in each.spec.template.spec.containers[:1]}
    if len(images) > 1:
        yield finding("PSW062", f"the Deployments run different images: {', '.join(sorted(images))}")
    webhook = context.installed.webhook
    version = (webhook.metadata.labels or {}).get(_VERSION_LABEL, "") if webhook else ""
    if version and version != __version__:
        yield note("PSW062", f"the chart is of version {version}, this command of {__version__}")


def _leader(context: Context) -> Iterator[Outcome]:
    installed = context.installed
    name = f"{installed.fullname}-sync"
    content = context.reader.one(LEASES, name, installed.release.namespace)
    spec = None if content is None else _decode_lease(content).spec
    if spec is None or not spec.holder_identity or not spec.renew_time:
        yield finding("PSW060", f"nobody holds Lease {installed.release.namespace}/{name}: no copy is kept up to date")
        return
    renewed = datetime.fromisoformat(spec.renew_time)
    age = context.now - renewed
    if age > timedelta(seconds=spec.lease_duration_seconds or 0):
        yield finding(
            "PSW060", f"{spec.holder_identity} has not renewed its Lease since {renewed:%Y-%m-%d %H:%M:%S} UTC"
        )
    if -age > SKEW:
        yield finding(
            "PSW063", f"the clock of {spec.holder_identity} is {-age.total_seconds():.0f} s ahead of this one"
        )


def _deployments(context: Context) -> Iterator[Deployment]:
    installed = context.installed
    for role in ("webhook", "sync"):
        content = context.reader.one(DEPLOYMENTS, f"{installed.fullname}-{role}", installed.release.namespace)
        if content is not None:
            yield _decode_deployment(content)


def clock_skew(server: str, now: datetime) -> Iterator[Outcome]:
    """Yield how far the API server's clock is from this one, by a time that it has given with whole seconds."""
    skew = datetime.fromisoformat(server).astimezone(UTC) - now
    if abs(skew) > SKEW:
        ahead = "ahead of" if skew > timedelta() else "behind"
        yield finding("PSW063", f"the clock of the API server is {abs(skew).total_seconds():.0f} s {ahead} this one")


PROCESSES = Check(("PSW060", "PSW061", "PSW062"), _look)
