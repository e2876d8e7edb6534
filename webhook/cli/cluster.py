"""Connect to a live cluster, find the release and report unreadable objects, for several commands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from webhook.cli.options import in_cluster_namespace
from webhook.cli.printing import tell
from webhook.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from webhook.files.values import ChartValues
    from webhook.inspect.reader import Reader
    from webhook.inspect.release import ReleaseQuery
    from webhook.registries.login import Registries
    from webhook.rules.configuration import Configuration


@contextmanager
def reading(
    kubeconfig: Path | None, context: str, on_page: Callable[[int, int], None] = lambda *_: None
) -> Iterator[Reader]:
    """Read from a cluster while the context lasts; report unreadable parts at its end."""
    import webhook.ops.logs  # noqa: PLC0415, F401 - before any other import of structlog
    from webhook.inspect.reader import Reader  # noqa: PLC0415 - as above
    from webhook.kube.connect import connect  # noqa: PLC0415 - --help is quick without it

    client = connect(kubeconfig, context or None)
    reader = Reader(client, on_page)
    error_text = ""
    try:
        yield reader
    except UsageError as error:
        error_text = str(error)
        raise
    finally:
        client.close()
        # A missing right is often the cause of the error. It is said once.
        for sentence in reader.missing:
            if sentence not in error_text:
                tell(f"warning: {sentence}; checks and results that need it were skipped")


def release_query_of(
    config: Path | ChartValues | None, release_namespace: str, release: str, namespace: str = ""
) -> ReleaseQuery:
    """Return the release that the flags name; ``namespace`` is one that it may have a copy in."""
    from webhook.files.values import ChartValues  # noqa: PLC0415 - as above
    from webhook.inspect.release import ReleaseQuery  # noqa: PLC0415 - as above

    near = tuple(dict.fromkeys(filter(None, (in_cluster_namespace(), namespace))))
    configuration = None if config is None else load(config, release_namespace)
    return ReleaseQuery(
        release_namespace, release, configuration, config if isinstance(config, ChartValues) else None, near
    )


def registries_with(ca_file: Path | None) -> Registries:
    """Return the registries, with the authorities of ``--registry-ca-file``."""
    from webhook.registries.login import Registries  # noqa: PLC0415 - as above

    try:
        return Registries(ca_file)
    except OSError as error:
        reason = error.strerror or "no PEM"
        raise UsageError(
            f"--registry-ca-file {ca_file} does not contain a readable certificate ({reason}): give another file"
        ) from None


def chosen_configuration(config: Path | None, values: Sequence[Path] | None) -> Path | ChartValues | None:
    """Return the file of ``--config``, or the values of ``--values``; None without both."""
    if not values:
        return config
    if config is not None:
        raise UsageError("--config and --values are both a configuration: give one of them")
    from webhook.files.values import load_values  # noqa: PLC0415 - as above

    return load_values(values)


def load(config: Path | ChartValues, release_namespace: str) -> Configuration:
    """Return the configuration in a file, or that of values in a release that is called like the chart."""
    from webhook.files.values import ChartValues  # noqa: PLC0415 - as above
    from webhook.files.watched_file import ConfigurationFile  # noqa: PLC0415 - as above

    if isinstance(config, ChartValues):
        configuration = config.configuration()
        return configuration.excluding(release_namespace) if release_namespace else configuration
    return ConfigurationFile(config, release_namespace).load()


def usual_namespace(kubeconfig: Path | None, context: str) -> str:
    """Return the namespace that kubectl would use."""
    from webhook.kube.kubeconfig import default_namespace, kubeconfig_files  # noqa: PLC0415 - as above

    if kubeconfig is None and not context and (own := in_cluster_namespace()):
        return own
    return default_namespace(kubeconfig_files(kubeconfig), context)
