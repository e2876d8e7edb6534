"""What to do next so that the webhook's certificate is valid, trusted and renewed in time.

Pure: the state goes in, one step comes out. Whoever carries the step out reads the state again and asks again, until
the answer is :class:`Nothing`. The order never breaks a handshake: a new authority is in every ``caBundle`` for a
settling time before the first leaf that it signed is stored, and the old one stays there until it expires, for replicas
that still serve the old leaf. Only a leaf that nobody can be serving, or be served with, is replaced at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

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
    """What is on the API server now; a part that is absent is empty. Keys are never shown.

    ``ca_bundles`` has one value for each webhook of the configuration. ``leaf_authority`` is the ``ca.crt`` stored with
    the leaf. ``published_since`` is when the one who asks first saw the present authority in all of ``ca_bundles``
    (:func:`is_published`), None when not yet.
    """

    names: tuple[str, ...]
    authority: bytes = b""
    authority_key: bytes = field(default=b"", repr=False)
    leaf: bytes = b""
    leaf_key: bytes = field(default=b"", repr=False)
    leaf_authority: bytes = b""
    ca_bundles: tuple[bytes, ...] = ()
    published_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is well; ask again at ``until``, or when something changes."""

    until: datetime


@dataclass(frozen=True, slots=True)
class StoreAuthority:
    """Store a new authority in its Secret, because of ``cause``."""

    authority: Authority
    cause: str


@dataclass(frozen=True, slots=True)
class PublishBundle:
    """Write ``pem`` into every ``caBundle``; ``unparsable`` blocks that were there are dropped."""

    pem: bytes
    unparsable: int


@dataclass(frozen=True, slots=True)
class StoreLeaf:
    """Store a new leaf, with its authority as ``ca.crt``, because of ``cause``."""

    leaf: Leaf
    cause: str


Step: TypeAlias = Nothing | StoreAuthority | PublishBundle | StoreLeaf


def next_step(state: CertificateState, now: datetime, policy: Lifetimes) -> Step:
    """Return the one thing to do next; carried out and asked again, it ends at :class:`Nothing`."""
    if cause := _authority_unusable(state, now):
        return StoreAuthority(issue_authority(now, policy.authority), cause)
    bundle = _wanted_bundle(state, now)
    if any(present != bundle.pem() for present in state.ca_bundles):
        return PublishBundle(bundle.pem(), sum(parse(present).unparsable for present in state.ca_bundles))
    settled = (state.published_since or now) + policy.settling
    if cause := _leaf_unusable(state, bundle, now):
        # Whatever the Secret holds now, a replica may have a good pair in memory, which the authority before signed.
        may_wait = _somebody_may_serve(state, bundle) and settled > now
        return Nothing(settled) if may_wait else _store_leaf(state, now, policy, cause)
    # Only after the leaf: what is repaired today had better be signed by the authority that everybody knows.
    if now >= due_at(state.authority):
        return StoreAuthority(issue_authority(now, policy.authority), "the authority is due for renewal")
    if cause := _leaf_due(state, now):
        return _store_leaf(state, now, policy, cause) if settled <= now else Nothing(settled)
    return Nothing(_next_look(state, bundle))


def is_published(state: CertificateState) -> bool:
    """Return whether every ``caBundle`` has the present authority: since when, is for the one who asks to remember."""
    try:
        return all(state.authority in parse(bundle) for bundle in state.ca_bundles)
    except CertificateInvalid:
        return False


def _authority_unusable(state: CertificateState, now: datetime) -> str:
    if not state.authority and not state.authority_key:
        return "there is no authority"
    try:
        check_authority(state.authority, state.authority_key, now)
    except CertificateInvalid as error:
        return str(error)
    return ""


def _wanted_bundle(state: CertificateState, now: datetime) -> Bundle:
    present = parse(b"\n".join(state.ca_bundles))
    # A wiped bundle gets back the authority of the leaf in service too, which may be older than the present one.
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


def _somebody_may_serve(state: CertificateState, bundle: Bundle) -> bool:
    """Return whether replicas may have a better pair in memory than the Secret has, from an authority before this."""
    authority = chain_of(state.authority)[0]
    return any(certificate != authority for certificate in bundle.ours) and not _is_what_replicas_have(state)


def _is_what_replicas_have(state: CertificateState) -> bool:
    """Return whether the pair in the Secret is one that replicas take into use, be it of any use or not."""
    try:
        check_pair(state.leaf, state.leaf_key, None, (), chain_of(state.leaf)[0].not_valid_before_utc)
    except CertificateInvalid:
        return False
    return True


def _leaf_due(state: CertificateState, now: datetime) -> str:
    if not is_issued_by(chain_of(state.leaf)[0], chain_of(state.authority)[0]):
        return "the authority has changed"
    if state.leaf_authority != state.authority:
        return "ca.crt is not the authority of the serving certificate"
    return "the serving certificate is due for renewal" if now >= due_at(state.leaf) else ""


def _store_leaf(state: CertificateState, now: datetime, policy: Lifetimes, cause: str) -> StoreLeaf:
    authority = Authority(state.authority, state.authority_key)
    return StoreLeaf(issue_leaf(authority, state.names, now, policy.leaf), cause)


def _next_look(state: CertificateState, bundle: Bundle) -> datetime:
    spent = [certificate.not_valid_after_utc for certificate in bundle.ours]
    # A certificate is expired only after its last second.
    return min(due_at(state.authority), due_at(state.leaf), min(spent) + timedelta(seconds=1))
