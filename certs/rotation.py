"""Decide the next step that keeps the webhook's certificate valid, trusted and renewed in time.

This module is pure: it takes the state and returns one step. The caller carries the step out, reads the state again and
repeats until the result is :class:`Nothing`. The order of steps never breaks a handshake. A new authority is in every
``caBundle`` for a settling time before the first leaf that it signed is stored. The old authority stays there until it
expires, because replicas may still serve the old leaf. A leaf is replaced immediately only if replicas cannot be
serving it or clients do not accept it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from certs.authority import Authority, Leaf, issue_authority, issue_leaf
from certs.bundle import Bundle, parse, updated
from certs.lifetimes import Lifetimes
from certs.validity import chain_of, check_authority, check_pair, due_at, is_issued_by, is_our_authority
from webhook.errors import CertificateInvalid

__all__ = [
    "CertificateState",
    "Lifetimes",
    "Nothing",
    "PublishBundle",
    "Step",
    "StoreAuthority",
    "StoreLeaf",
    "is_published",
    "next_step",
]


@dataclass(frozen=True, slots=True)
class CertificateState:
    """The certificates on the API server now; absent parts are empty. The repr does not show keys.

    ``ca_bundles`` has one value for each webhook of the configuration. ``leaf_authority`` is the ``ca.crt`` stored with
    the leaf. ``published_since`` is when the caller first saw the present authority in all of ``ca_bundles``
    (:func:`is_published`); None until then.
    """

    names: tuple[str, ...]
    authority: bytes = b""
    authority_key: bytes = field(default=b"", repr=False)
    leaf: bytes = b""
    leaf_key: bytes = field(default=b"", repr=False)
    leaf_authority: bytes = b""
    ca_bundles: tuple[bytes, ...] = ()
    published_since: datetime | None = None


class Nothing(msgspec.Struct, frozen=True):
    """All certificates are fine; call again at ``until``, or when something changes."""

    until: datetime


class StoreAuthority(msgspec.Struct, frozen=True):
    """Store a new authority in its Secret; ``cause`` is the reason."""

    authority: Authority
    cause: str


class PublishBundle(msgspec.Struct, frozen=True):
    """Write ``pem`` into every ``caBundle``; ``unparsable`` counts the unreadable blocks that are dropped."""

    pem: bytes
    unparsable: int


class StoreLeaf(msgspec.Struct, frozen=True):
    """Store a new leaf, with its authority as ``ca.crt``; ``cause`` is the reason."""

    leaf: Leaf
    cause: str


Step: TypeAlias = Nothing | StoreAuthority | PublishBundle | StoreLeaf


def next_step(state: CertificateState, now: datetime, policy: Lifetimes) -> Step:
    """Return the next step. Repeating this after each step ends with :class:`Nothing`."""
    if cause := _authority_unusable(state, now):
        return StoreAuthority(issue_authority(now, policy.authority), cause)
    # Trust before use: a leaf of an authority that is not in the bundle would fail at each API server.
    bundle = _next_bundle(state, now)
    if any(present != bundle.pem() for present in state.ca_bundles):
        return PublishBundle(bundle.pem(), sum(parse(present).unparsable for present in state.ca_bundles))
    # A caller that has just started sees the authority for the first time, so the whole settling time passes again.
    settled = (state.published_since or now) + policy.settling
    if cause := _leaf_unusable(state, bundle, now):
        # A replica may have a good pair of the previous authority in memory, even if the Secret holds a bad one.
        may_wait = _replicas_may_serve_other(state, bundle) and settled > now
        return Nothing(settled) if may_wait else _store_leaf(state, now, policy, cause)
    # The leaf is repaired first, because every API server already trusts the present authority.
    if now >= due_at(state.authority):
        return StoreAuthority(issue_authority(now, policy.authority), "the authority is due for renewal")
    if cause := _leaf_due(state, now):
        return _store_leaf(state, now, policy, cause) if settled <= now else Nothing(settled)
    return Nothing(_next_check(state, bundle))


def is_published(state: CertificateState) -> bool:
    """Return whether every ``caBundle`` has the present authority. The caller remembers since when."""
    try:
        return all(state.authority in parse(bundle) for bundle in state.ca_bundles)
    except CertificateInvalid:
        return False


def _authority_unusable(state: CertificateState, now: datetime) -> str:
    # A Secret that is absent or was emptied is not an error: an installation begins like that.
    if not state.authority and not state.authority_key:
        return "there is no authority"
    try:
        check_authority(state.authority, state.authority_key, now)
    except CertificateInvalid as error:
        return str(error)
    return ""


def _next_bundle(state: CertificateState, now: datetime) -> Bundle:
    # One bundle for all webhooks, so that a certificate that was added to one of them is in all.
    present = parse(b"\n".join(state.ca_bundles))
    # If a bundle was wiped, it also gets the authority of the current leaf back, which may be an older one.
    serving = [state.leaf_authority] if _is_serving_authority(state) else []
    return updated(present, [*serving, state.authority], now)


def _is_serving_authority(state: CertificateState) -> bool:
    try:
        authority, leaf = chain_of(state.leaf_authority)[0], chain_of(state.leaf)[0]
    except CertificateInvalid:
        return False
    return is_our_authority(authority) and is_issued_by(leaf, authority)


def _leaf_unusable(state: CertificateState, bundle: Bundle, now: datetime) -> str:
    if not state.leaf and not state.leaf_key:
        return "there is no serving certificate"
    try:
        check_pair(state.leaf, state.leaf_key, bundle.pem(), state.names, now)
    except CertificateInvalid as error:
        return str(error)
    return ""


def _replicas_may_serve_other(state: CertificateState, bundle: Bundle) -> bool:
    """Return whether replicas may have a better pair in memory than the Secret has, from an earlier authority."""
    authority = chain_of(state.authority)[0]
    return any(certificate != authority for certificate in bundle.ours) and not _is_loadable(state)


def _is_loadable(state: CertificateState) -> bool:
    """Return whether replicas load the pair in the Secret, even if clients do not accept it."""
    try:
        # At its first moment, because a replica that loaded it then still serves it after it has expired.
        check_pair(state.leaf, state.leaf_key, None, (), chain_of(state.leaf)[0].not_valid_before_utc)
    except CertificateInvalid:
        return False
    return True


def _leaf_due(state: CertificateState, now: datetime) -> str:
    if not is_issued_by(chain_of(state.leaf)[0], chain_of(state.authority)[0]):
        return "the authority has changed"
    # Otherwise a wiped caBundle could not get back the authority of the leaf in service.
    if state.leaf_authority != state.authority:
        return "ca.crt is not the authority of the serving certificate"
    return "the serving certificate is due for renewal" if now >= due_at(state.leaf) else ""


def _store_leaf(state: CertificateState, now: datetime, policy: Lifetimes, cause: str) -> StoreLeaf:
    authority = Authority(state.authority, state.authority_key)
    return StoreLeaf(issue_leaf(authority, state.names, now, policy.leaf), cause)


def _next_check(state: CertificateState, bundle: Bundle) -> datetime:
    expiries = [certificate.not_valid_after_utc for certificate in bundle.ours]
    # A certificate is expired only after its last second.
    return min(due_at(state.authority), due_at(state.leaf), min(expiries) + timedelta(seconds=1))
