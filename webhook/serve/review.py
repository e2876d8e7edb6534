"""Read AdmissionReview requests and write their responses.

Only the fields that a decision reads are decoded. Each JSON document with a ``uid`` counts as a request, even if the
rest of it is malformed, because an injector must allow it.

In values that it skips, msgspec checks the grammar, but not that strings are UTF-8 and numbers are in range. A review
is mostly such values (``managedFields``, ``status``), and decoding all of them costs five times as much as skipping.
simdjson checks everything in half the time of skipping. But it rejects some valid documents (big integers, lone
surrogates), and needs 13 times a document's size in memory. So documents that it accepts are valid. In documents that
it rejects, and in large ones, only numbers that may be out of range are checked one by one, without decoding.

Source: k8s.io/api/admission/v1/types.go.
"""

from __future__ import annotations

import codecs
import math
import re
from functools import lru_cache
from heapq import merge
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import simdjson

from webhook.errors import PullSecretsError
from webhook.rules.patch import additions
from webhook.rules.references import References
from webhook.rules.subject import AdmittedObject, LargeObject  # noqa: TC001 - msgspec evaluates the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.rules.configuration import Reason

HEAVY_BODY = 256 * 1024
"""In bytes. Up to this size an answer takes less than a millisecond; larger bodies do not block the event loop. They
are not given to simdjson either, because it never frees its memory.
"""

_CHUNK = 64 * 1024
"""Bytes checked in one step, so that large documents need no large copies and other threads get turns."""

LONGEST_NUMBER = 1000
"""In characters. Numbers in objects of the API are much shorter."""

MAX_CONSPICUOUS = 10_000
"""Limit of numbers in one document with an exponent of three or more digits, or with hundreds of digits."""

_MANY_DIGITS = b"0" * 200
"""With fewer digits and an exponent below 100, a number stays below 1e299, in the range of a double."""

_CLASSES = bytes.maketrans(b"0123456789E]} \t\r\n", b"0000000000e,,,,,,")
# It is not safe for threads. Only one thread of each process uses it, because others decode larger bodies.
_parser = simdjson.Parser()
_SIGN = b"+"
_BIG_EXPONENT = re.compile(rb"0e0000*,")
_EXPONENT = re.compile(rb"0e\+?000")
# Possessive, so that a long run of digits is not tried again from each of its positions.
_NUMBER = re.compile(rb"[0-9.]++(?:[eE][+-]?[0-9]++)?")
_DIGITS = b"0123456789."


def check_strictly(body: bytes) -> None:
    """Raise ValueError if ``body`` is not UTF-8, or contains a number out of range."""
    if len(body) <= HEAVY_BODY and _simdjson_accepts(body):
        return
    # Nearly all bodies are ASCII, and then the slower check is not needed.
    if not body.isascii():
        _check_utf8(body)
    if _has_conspicuous_number(body):
        _check_numbers(body)


def _simdjson_accepts(body: bytes) -> bool:
    try:
        _parser.parse(body)
    # RuntimeError is its error for an integer of more than 64 bits, which is valid JSON.
    except (ValueError, RuntimeError):
        return False
    return True


def _check_utf8(body: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _CHUNK):
        # The decoder keeps the first bytes of a character that ends in the next chunk.
        decoder.decode(body[start : start + _CHUNK])
    decoder.decode(b"", final=True)


def _has_conspicuous_number(body: bytes) -> bool:
    """Return whether a number may be out of range; strings that look like one count too."""
    classes = body.translate(_CLASSES, _SIGN)
    # All digits became one character, so one search finds any run of two hundred digits.
    if _MANY_DIGITS in classes:
        return True
    # The plain search is ten times as fast as the expression. Hits are rare; they are hexadecimal digests.
    return b"0e000" in classes and _BIG_EXPONENT.search(classes) is not None


def _check_numbers(body: bytes) -> None:
    """Check each conspicuous number outside of strings."""
    # Without escaped characters, each quotation mark begins or ends a string.
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    for count, number in enumerate(_conspicuous_numbers(_without_strings(text))):
        too_much = len(number) > LONGEST_NUMBER or count >= MAX_CONSPICUOUS
        if too_much or (not number.isdigit() and math.isinf(float(number))):
            raise ValueError("a number is out of range")


def _without_strings(text: bytes) -> bytes:
    kept, inside = [], False
    for start in range(0, len(text), _CHUNK):
        parts = text[start : start + _CHUNK].split(b'"')
        # The quotation marks stay, so that the numbers before and after a string do not become one.
        kept.append(b'"'.join(parts[inside::2]))
        # A string may continue in the next chunk.
        inside ^= len(parts) % 2 == 0
    return b"".join(kept)


def _conspicuous_numbers(text: bytes) -> Iterator[bytes]:
    """Yield each number with hundreds of digits, or with an exponent of three or more digits.

    It is found by these digits. An expression that is tried at each digit takes ten times as long, and a body can have
    millions of small numbers.
    """
    classes = text.translate(_CLASSES)
    end = 0
    for position in merge((match.start() for match in _EXPONENT.finditer(classes)), _long_runs(classes)):
        # A number that is longer than the limit is too long from anywhere in it.
        before = text[max(end, position - LONGEST_NUMBER) : position + 1]
        if position >= end and (match := _NUMBER.match(text, position + 1 - len(before) + len(before.rstrip(_DIGITS)))):
            end = match.end()
            yield match[0]


def _long_runs(classes: bytes) -> Iterator[int]:
    """Yield positions of runs of digits, several of a very long one."""
    position = classes.find(_MANY_DIGITS)
    while position >= 0:
        yield position
        position = classes.find(_MANY_DIGITS, position + len(_MANY_DIGITS))


API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"


class BadReview(PullSecretsError):
    """A body that is not an AdmissionReview. The message is for the client and does not quote the body."""

    status = 400


# Structs of a review contain no cycles. With gc=False, the collector does not track them.
class GroupVersionKind(msgspec.Struct, gc=False):
    """The kind of the object of a request."""

    group: str | None = None
    version: str | None = None
    kind: str | None = None


class GroupVersionResource(msgspec.Struct, gc=False):
    """The resource of a request."""

    group: str | None = None
    version: str | None = None
    resource: str | None = None


LONGEST_UID = 256
"""In bytes; the uids of the API server have 36."""

BOUNDED_BODY = 64 * 1024
"""In bytes. In a larger body, the entries that a decision reads are counted before they are decoded."""


class _Identity(msgspec.Struct, gc=False):
    uid: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_UID)]


class RequestHead(_Identity, rename="camel", gc=False):
    """A request without its object, used when a field of the object has a wrong type."""

    kind: GroupVersionKind | None = None
    resource: GroupVersionResource | None = None
    sub_resource: str | None = None
    operation: str | None = None
    namespace: str | None = None


class AdmissionRequest(RequestHead, rename="camel", gc=False):
    """A request with all the fields that a decision reads."""

    object: AdmittedObject | None = None


class _Envelope(msgspec.Struct, rename="camel", gc=False):
    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]


class _Review(_Envelope, gc=False):
    request: AdmissionRequest


class _LargeRequest(RequestHead, rename="camel", gc=False):
    object: LargeObject | None = None


class _LargeReview(_Envelope, gc=False):
    request: _LargeRequest


class _HeadReview(_Envelope, gc=False):
    request: RequestHead


class _IdentityReview(_Envelope, gc=False):
    request: _Identity


_review = msgspec.json.Decoder(_Review)
_large_review = msgspec.json.Decoder(_LargeReview)
_head_review = msgspec.json.Decoder(_HeadReview)
_identity_review = msgspec.json.Decoder(_IdentityReview)


def parse(body: bytes) -> RequestHead:
    """Return the request in ``body``: an AdmissionRequest, or only its head if a field has a wrong type.

    Raises BadReview if the body is not one strict JSON document in UTF-8, is not an AdmissionReview, or has no uid.
    """
    try:
        check_strictly(body)
        # The strict check comes first: msgspec skips the values that no field reads, and does not check them
        # completely.
        request = _parse_leniently(body)
    except msgspec.ValidationError:
        message = f"not an {KIND} of {API_VERSION} with a request that has a uid"
    except (msgspec.DecodeError, ValueError):
        message = "not a JSON document"
    except RecursionError:
        message = "nested too deeply"
    else:
        if request.uid.isascii() or len(request.uid.encode(errors="surrogatepass")) <= LONGEST_UID:
            return request
        message = f"the uid is longer than {LONGEST_UID} bytes"
    raise BadReview(message)


def _parse_leniently(body: bytes) -> RequestHead:
    try:
        return _review.decode(body).request if len(body) <= BOUNDED_BODY else _parse_large(body)
    except msgspec.ValidationError:
        pass  # a field has a wrong type; its value is not used
    try:
        return _head_review.decode(body).request
    except msgspec.ValidationError:
        return RequestHead(uid=_identity_review.decode(body).request.uid)


def _parse_large(body: bytes) -> AdmissionRequest:
    """Return the request in a large body. Raises ValidationError also when the object has too many entries."""
    large = _large_review.decode(body).request
    return AdmissionRequest(
        uid=large.uid,
        kind=large.kind,
        resource=large.resource,
        sub_resource=large.sub_resource,
        operation=large.operation,
        namespace=large.namespace,
        object=None if large.object is None else large.object.decoded(),
    )


class _Response(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    uid: str
    # An injector never rejects an object, so the type has no other value.
    allowed: Literal[True]
    audit_annotations: dict[str, str]
    patch_type: Literal["JSONPatch"] | None = None
    # msgspec writes bytes as base64, which is also how encoding/json reads a []byte.
    patch: bytes | None = None


class _ResponseReview(msgspec.Struct, rename="camel", gc=False):
    api_version: str
    kind: str
    response: _Response


_encoder = msgspec.json.Encoder()


def render(uid: str, reason: Reason, added: tuple[str, ...] = (), path: str = "", *, present: bool = False) -> bytes:
    """Return the body of the response that allows request ``uid``.

    ``added`` are the names that the patch adds to the list at ``path``; none of them is in it yet. ``present`` is true
    if the object has that list. The names and ``reason`` go into the audit annotations; the API server prefixes their
    keys with the webhook's name.
    """
    return b"%s%s%s" % (_BEFORE_UID, _encoder.encode(uid), _after_uid(reason, added, path, present=present))


@lru_cache(maxsize=1024)
def _after_uid(reason: Reason, added: tuple[str, ...], path: str, *, present: bool) -> bytes:
    """Return the bytes after the uid, cached because all requests of one configuration share few endings."""
    response = _Response(uid="", allowed=True, audit_annotations={"reason": reason.value})
    if added:
        response.audit_annotations["names"] = ",".join(added)
        response.patch_type = "JSONPatch"
        response.patch = _encoder.encode(additions(path, References(present=present), added))
    return _encoder.encode(_ResponseReview(API_VERSION, KIND, response)).removeprefix(_BEFORE_UID + b'""')


_BEFORE_UID = f'{{"apiVersion":"{API_VERSION}","kind":"{KIND}","response":{{"uid":'.encode()
