"""Connect to a live cluster, find the release and report unreadable objects, for several commands."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from webhook.cli.options import in_cluster_namespace
from webhook.cli.printing import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.inspect.reader import Reader
    from webhook.inspect.release import Wanted
    from webhook.rules.configuration import Configuration


@contextmanager
def reading(
    kubeconfig: Path | None, context: str, seen: Callable[[int, int], None] = lambda *_: None
) -> Iterator[Reader]:
    """Read from a cluster while the context lasts; report unreadable parts at its end."""
    from webhook.inspect.reader import Reader  # noqa: PLC0415 - as above
    from webhook.kube.connect import connect  # noqa: PLC0415 - --help is quick without it

    client = connect(kubeconfig, context or None)
    reader = Reader(client, seen)
    try:
        yield reader
    finally:
        client.close()
    for sentence in reader.missing:
        tell(f"warning: {sentence}; checks and results that need it were skipped")


def wanted(config: Path | None, namespace: str, release: str) -> Wanted:
    """Return the release that the flags name."""
    from webhook.inspect.release import Wanted  # noqa: PLC0415 - as above

    return Wanted(namespace, release, None if config is None else load(config, namespace))


def load(config: Path, namespace: str) -> Configuration:
    """Return the configuration in a file."""
    from webhook.files.watched_file import ConfigurationFile  # noqa: PLC0415 - as above

    return ConfigurationFile(config, namespace).load()


def usual_namespace(kubeconfig: Path | None, context: str) -> str:
    """Return the namespace that kubectl would use."""
    from webhook.kube.kubeconfig import default_namespace  # noqa: PLC0415 - as above

    if kubeconfig is None and not context and (own := in_cluster_namespace()):
        return own
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    paths = [kubeconfig] if kubeconfig else named or [Path.home() / ".kube" / "config"]
    return default_namespace(paths, context)
