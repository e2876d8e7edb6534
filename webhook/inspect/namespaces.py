"""Read namespaces with the rights of a person; no decision is possible without them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from webhook.errors import ApiError, Forbidden, UsageError
from webhook.inspect.reader import lacking
from webhook.kube.objects import ScopedDecoder, to_namespace
from webhook.kube.resources import MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, Collection
from webhook.kube.webhook_configuration import WebhookConfiguration
from webhook.kube.wire import PartialObjectMetadata, decoder
from webhook.rules.scope import scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.inspect.reader import Reader
    from webhook.rules.configuration import Configuration
    from webhook.rules.objects import Namespace

_decode: Callable[[bytes], PartialObjectMetadata] = decoder(PartialObjectMetadata)


def read_namespace(reader: Reader, name: str) -> Namespace:
    """Return a namespace; UsageError if it does not exist or cannot be read."""
    try:
        content = reader.get(NAMESPACES, name)
    except Forbidden:
        raise UsageError(
            f"{lacking('get', f'namespace {name}')}, and its labels decide: ask for the right. "
            f"Next: kubectl auth can-i get namespaces/{name}"
        ) from None
    if content is None:
        raise _absent(name)
    return to_namespace(_decode(content))


def find_namespace(reader: Reader, name: str) -> tuple[Namespace | None, bool]:
    """Return a namespace, None if it does not exist, and True if it may be read."""
    content, is_known = reader.get_if_allowed(NAMESPACES, name)
    return (None if content is None else to_namespace(_decode(content))), is_known


def refuse_absent(reader: Reader, name: str) -> None:
    """Raise UsageError for a namespace that does not exist; if it cannot be read, that is reported."""
    content, is_known = reader.get_if_allowed(NAMESPACES, name)
    if is_known and content is None:
        raise _absent(name)


def list_namespaces(
    reader: Reader, configuration: Configuration, selector: str = "", running: Configuration | None = None
) -> list[Namespace]:
    """Return the namespaces that ``selector`` selects, all by default, with the labels that a configuration reads.

    Raises:
        UsageError: ``selector`` is not a label selector or selects nothing, or namespaces cannot be read.
    """
    query = {"labelSelector": selector} if selector else {}
    shapes = ScopedDecoder(scope_of(configuration).with_labels_of(scope_of(running or configuration)))
    try:
        namespaces = [
            shapes.to_namespace(item) for item in reader.items(Collection(NAMESPACES), shapes.namespace, query)
        ]
    except Forbidden:
        raise UsageError(
            f"{lacking('list', 'namespaces')}, and their labels decide: ask for it; plan, coverage and usage read one "
            "namespace with -n. Next: kubectl auth can-i list namespaces"
        ) from None
    except ApiError as error:
        refuse_wrong_selector(selector, error)
        raise
    if selector and not namespaces:
        raise UsageError(f"-l {selector} selects no namespace; list their labels: kubectl get namespaces --show-labels")
    return namespaces


def refuse_wrong_selector(selector: str, error: ApiError) -> None:
    """Raise UsageError if the API server has refused a list because ``selector`` is not a label selector."""
    if selector and error.status == HTTPStatus.BAD_REQUEST:
        raise UsageError(
            f"-l {selector} is not a label selector: write it as for kubectl, such as team=a or 'team in (a, b)'"
        ) from None


def unlisted_pods(namespace: str) -> UsageError:
    """Return the error about the missing right to list the Pods of a namespace, or of all with an empty one."""
    command = "kubectl auth can-i list pods"
    if namespace:
        return UsageError(f"{lacking('list', 'pods', namespace)}: ask for it. Next: {command} -n {namespace}")
    lacks = lacking("list", "pods across namespaces")
    return UsageError(f"{lacks}: ask for it, or name a namespace with -n. Next: {command} -A")


def opt_in_labels(reader: Reader) -> frozenset[str]:
    """Return the opt-in labels of all releases, which may be similar; none if they cannot be listed."""
    try:
        return frozenset(
            requirement.key
            for configuration in reader.items(Collection(MUTATING_WEBHOOK_CONFIGURATIONS), WebhookConfiguration)
            for webhook in configuration.webhooks
            for requirement in webhook.namespace_selector.selector().requirements
        )
    except Forbidden:
        return frozenset()


def _absent(name: str) -> UsageError:
    return UsageError(f"namespace {name} does not exist; list them: kubectl get namespaces")
