"""Read the sources that renew themselves from the configuration document, and report every problem in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from webhook.files.node import Node, checked, checked_items, duration
from webhook.files.yaml import Unquoted, Value, quoted
from webhook.rules.images import parse_registry
from webhook.rules.names import problem_of_namespace, problem_of_subdomain
from webhook.rules.renewing import (
    API_SERVER_AUDIENCES,
    LONGEST_LIFETIME,
    SHORTEST_LIFETIME,
    SHORTEST_TOKEN,
    CredentialProvider,
    NamespaceToken,
    ServiceAccountToken,
    TokenForProvider,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.rules.renewing import RenewingSource

KINDS = ("credentialProvider", "serviceAccountToken")
"""The fields of a source that renews itself; it has one of them."""

ISSUED_INFIX = "-issued-"
"""Between the full name of the release and the name of the source, in the name of its Secret."""

_PROVIDER_FIELDS = (
    "name",
    "command",
    "args",
    "env",
    "inheritEnv",
    "images",
    "defaultLifetime",
    "serviceAccountToken",
)
_TOKEN_FIELDS = ("name", "registry", "username", "audience", "lifetime", "perNamespace", "serviceAccountName")

# Without a slash the plugin folder cannot be left. The first letter excludes options, "." and "..".
_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_TEXT = 4096


def read_namespace_token(fields: Mapping[str, Node]) -> NamespaceToken | None:
    """Return the source that is a token of each namespace; None if a source has something else."""
    token = fields["serviceAccountToken"]
    if not per_namespace(token.value):
        return None
    if not fields["credentialProvider"].absent:
        token.report("stands beside credentialProvider: a source has one of them")
    if not fields["secretName"].absent:
        fields["secretName"].report("has no effect with perNamespace: each copy keeps its own token; remove it")
    source = _token(token, "")
    return NamespaceToken(
        source.name, source.registry, source.username, source.audience, source.service_account, source.lifetime
    )


def per_namespace(settings: Value) -> bool:
    """Return whether the settings of a source have ``perNamespace: true``."""
    # The raw value, because it decides how the other fields are read, and the chart's values have no nodes.
    chosen = settings.get("perNamespace") if isinstance(settings, dict) else None
    return isinstance(chosen, Unquoted) and chosen.text == "true"


def read_renewing(fields: Mapping[str, Node], secret: str) -> RenewingSource | None:
    """Return the renewing source in the fields of a source, which is kept in ``secret``; None if it is a plain Secret.

    A placeholder stands for what is wrong with it.
    """
    provider, token = fields["credentialProvider"], fields["serviceAccountToken"]
    if not provider.absent and not token.absent:
        token.report("stands beside credentialProvider: a source has one of them")
    if not provider.absent:
        return _provider(provider, secret)
    return None if token.absent else _token(token, secret)


def _provider(node: Node, secret: str) -> CredentialProvider:
    fields = node.fields(_PROVIDER_FIELDS)
    env = fields["env"].mappings(("name", "value"))
    images = fields["images"]
    if images.value in (None, []):
        images.report("is required: name at least one registry, such as registry.example.com")
    names = [checked(item["name"], _problem_of_variable) for item in env]
    inherited = checked_items(fields["inheritEnv"], _problem_of_variable)
    _report_repeats(fields["env"], names)
    _report_repeats(fields["inheritEnv"], list(inherited))
    return CredentialProvider(
        name=checked(fields["name"], _problem_of_name),
        secret=secret,
        command=checked(fields["command"], _problem_of_command),
        images=checked_items(images, _problem_of_image),
        args=checked_items(fields["args"], _problem_of_text),
        env=tuple(zip(names, [checked(item["value"], _problem_of_text) for item in env], strict=True)),
        inherit_env=inherited,
        default_lifetime=duration(fields["defaultLifetime"], "1h", SHORTEST_LIFETIME, LONGEST_LIFETIME),
        token=None if fields["serviceAccountToken"].absent else _provider_token(fields["serviceAccountToken"]),
    )


def _provider_token(node: Node) -> TokenForProvider:
    fields = node.fields(("audience", "serviceAccountName", "annotations"))
    annotations = sorted(fields["annotations"].entries().items())
    return TokenForProvider(
        audience=checked(fields["audience"], _problem_of_audience),
        service_account=checked(fields["serviceAccountName"], problem_of_subdomain),
        annotations=tuple((key, checked(value, _problem_of_text)) for key, value in annotations),
    )


def _token(node: Node, secret: str) -> ServiceAccountToken:
    fields = node.fields(_TOKEN_FIELDS)
    fields["perNamespace"].boolean(default=False)  # true is read by read_namespace_token
    return ServiceAccountToken(
        name=checked(fields["name"], _problem_of_name),
        secret=secret,
        registry=checked(fields["registry"], _problem_of_image),
        username=checked(fields["username"], _problem_of_username),
        audience=checked(fields["audience"], _problem_of_audience),
        service_account=checked(fields["serviceAccountName"], problem_of_subdomain),
        lifetime=duration(fields["lifetime"], "1h", SHORTEST_TOKEN, LONGEST_LIFETIME),
    )


def _report_repeats(node: Node, names: list[str]) -> None:
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        node.report(f"has {quoted(name)} more than once")


def _problem_of_name(text: str) -> str | None:
    if problem_of_namespace(text) is None:
        return None
    return "is not a name: up to 63 lower case letters, digits and -, beginning and ending without -"


def _problem_of_command(text: str) -> str | None:
    if _COMMAND.fullmatch(text):
        return None
    return "is not the name of a file in the plugin folder: letters, digits, -, _ and ., without a folder"


def _problem_of_variable(text: str) -> str | None:
    return None if _VARIABLE.fullmatch(text) else "is not a name of an environment variable"


def _problem_of_text(text: str) -> str | None:
    if "\0" in text:
        return "has a NUL character, which no process can get"
    return None if len(text) <= _LONGEST_TEXT else f"is longer than {_LONGEST_TEXT} characters"


def _problem_of_username(text: str) -> str | None:
    # Basic authentication ends the user name at the first colon (RFC 7617, section 2).
    if not text or ":" in text or not text.isprintable():
        return "is not a user name: it must have characters, and no colon and no control character"
    return _problem_of_text(text)


def _problem_of_audience(text: str) -> str | None:
    if not text.strip():
        return "is empty, and a token without an audience is a credential for the API server: name the registry"
    if text.rstrip("/") in API_SERVER_AUDIENCES:
        return "is an audience of the API server, and a token for it is a credential for the cluster: choose another"
    return _problem_of_text(text)


def _problem_of_image(text: str) -> str | None:
    try:
        registry = parse_registry(text)
    except ValueError as error:
        return f"is {error}{', without a scheme' if '://' in text else ''}"
    if "*" in registry.host:
        return "has a wildcard, but a credential is requested for it: name each registry"
    return None
