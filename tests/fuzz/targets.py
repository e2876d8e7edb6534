"""The targets: each takes bytes, and asserts what must be true whatever they are."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping

from tests.integration.hostile.fuzzed_reviews import NAME
from tests.integration.hostile.judge import check
from tests.integration.site.serving import Response
from webhook.errors import ConfigurationInvalid, SourceInvalid
from webhook.files.configuration import MAX_PROBLEMS
from webhook.files.configuration import parse as parse_configuration
from webhook.rules.configuration import OPT_OUT_VALUE, Configuration, PullSecret, Reason
from webhook.rules.dockerconfig import (
    COPY_KEY,
    COPY_TYPE,
    LEGACY_KEY,
    LEGACY_TYPE,
    Credentials,
    merge,
    parse_source,
    render,
)
from webhook.rules.images import matches, parse, parse_registry
from webhook.rules.names import problem_of_label_key, problem_of_subdomain
from webhook.rules.registry_key import read_key
from webhook.serve.handler import Handler
from webhook.serve.review import BadReview

REGISTRIES = ("ghcr.io/our-org", "*.example.com", "docker.io", "localhost:5000", "[::1]:5000")
PLANTED = "pLaNtEd"
"""A password that the seeds have: no message may hold it."""

_AS_A_NAME = re.compile(f"[^:]{PLANTED}".encode())
"""Where it does not stand behind a colon, as a password in a URL does, it may have become part of a name."""

_HANDLER = Handler(lambda: Configuration((PullSecret(NAME, ("source",)),)), lambda _namespace: None)


def configuration(data: bytes) -> None:
    """A document is a configuration, or every problem in it is told in printable words."""
    text = data.decode(errors="replace")
    try:
        read = parse_configuration(text, "fuzzed")
    except ConfigurationInvalid as error:
        _see_that_it_is_told(error)
        return
    assert len(set(read.secret_names)) == len(read.secret_names)
    assert not [name for name in (*read.secret_names, *read.source_names) if problem_of_subdomain(name)]
    assert problem_of_label_key(read.opt_in.label) is None
    assert read.opt_in.value not in ("", OPT_OUT_VALUE)
    for entry in read.pull_secrets:
        assert entry.sources
        assert all(str(parse_registry(registry)) == registry for registry in entry.registries)
        assert isinstance(entry.service_accounts.matches("default"), bool)
        assert isinstance(entry.namespace_selector.matches({"a": "b"}), bool)


def _see_that_it_is_told(error: ConfigurationInvalid) -> None:
    assert 0 < len(error.problems) <= MAX_PROBLEMS + 1
    assert str(error).replace("\n", "").isprintable()
    assert str(error).count("\n") == len(error.problems)


def dockerconfig(data: bytes) -> None:
    """The content of a source is refused, or makes a copy that every reader takes in the same way."""
    legacy = data[:1] == b"L"
    key, kind = (LEGACY_KEY, LEGACY_TYPE) if legacy else (COPY_KEY, COPY_TYPE)
    content = data[1:] if legacy else data
    try:
        read = parse_source("fuzzed", kind, {key: b64encode(content).decode()}, {})
        payload = render(merge([("fuzzed", read)]).credentials)
    except SourceInvalid as error:
        _see_that_nothing_shows(str(error), content)
        return
    _see_that_nothing_shows(read.remark, content)
    again = parse_source("copy", COPY_TYPE, {COPY_KEY: b64encode(payload).decode()}, {})
    assert set(again.values()) == set(read.values())
    assert not again.clashes
    assert not again.left_out
    assert render(again) == payload
    _see_that_nothing_shows(repr(read) + repr(again), content)
    _see_that_readers_agree(payload, read)


def _see_that_nothing_shows(message: str, content: bytes) -> None:
    assert message.isprintable()
    # What looks like the name of a registry is shown: a password that was damaged into one cannot be told from it.
    assert f":{PLANTED}" not in message
    assert PLANTED not in message or _AS_A_NAME.search(content)


def _see_that_readers_agree(payload: bytes, read: Credentials) -> None:
    auths = json.loads(payload)["auths"]
    assert auths
    for registry, entry in auths.items():
        assert str(read_key(registry)) == registry
        credential = read.get(registry, read.get("docker.io"))
        assert credential is not None
        assert entry["username"] == credential.username != ""
        assert entry["password"] == credential.password != ""
        if ":" not in entry["username"]:
            assert entry["auth"] == b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()


def imageref(data: bytes) -> None:
    """An image names one registry for good, or none; nothing about it ever fails."""
    text = data.decode(errors="surrogateescape")
    found = matches(text, REGISTRIES)
    try:
        reference = parse(text)
    except ValueError:
        assert not found
        return
    assert parse(_spelled_out(reference.name, reference.tag, reference.digest)) == reference
    host = reference.domain.rpartition(":")[0] if reference.domain[-1:].isdigit() else reference.domain
    if found and reference.domain:
        assert "@" not in reference.domain
        assert reference.domain.isascii()
        assert matches(f"{reference.domain}/{reference.path}", REGISTRIES)
        known = (".example.com", "ghcr.io", "docker.io", "localhost", "[::1]")
        assert reference.domain.endswith(known) or host.endswith(known)


def _spelled_out(name: str, tag: str, digest: str) -> str:
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def review(data: bytes) -> None:
    """A review is answered as the judge says: allowed, with a patch that loses nothing; what is none is refused."""
    check(data, _answer(data), _answer)


def _answer(body: bytes) -> Response:
    try:
        answer = _HANDLER.handle(body)
    except BadReview as error:
        return Response(error.status, {"connection": "close"}, str(error).encode())
    assert answer.reason is not Reason.INTERNAL_ERROR
    return Response(200, {"content-type": "application/json"}, answer.body)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "configuration": configuration,
    "dockerconfig": dockerconfig,
    "imageref": imageref,
    "review": review,
}
