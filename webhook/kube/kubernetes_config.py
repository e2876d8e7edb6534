"""Read kubeconfig files through the ``kubernetes`` package if they need more than this project reads by itself.

The package covers the difficult parts: exec plugins, OIDC, proxies, merged files. Its typed models are not used. They
cost tens of megabytes, lose fields newer than the client, and print Secret data in their ``repr``.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException

from webhook.errors import UsageError
from webhook.kube.access import POOL_SIZE, Access, Tls
from webhook.kube.kubeconfig import kubeconfig_files
from webhook.rules.text import yaml_problem

if TYPE_CHECKING:
    from pathlib import Path


_LOADERS_WORDS = re.compile(r"^Invalid kube-config( file)?\. ")
"""The beginning of each message of the loader; the rest is the problem."""


def packaged_access(kubeconfig: Path | None, context: str | None) -> Access:
    """Return the access that a kubeconfig file, or the environment, describes.

    Raises:
        UsageError: there is no usable configuration.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = POOL_SIZE
    try:
        _load(configuration, kubeconfig, context)
        Tls(configuration.ssl_ca_cert, None, configuration.cert_file, configuration.key_file).check()
        pool = ApiClient(configuration).rest_client.pool_manager
    except ConfigException as error:
        raise UsageError(_unusable(kubeconfig, str(error))) from None
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        # Broken YAML, a folder, a list at the top, an unreadable certificate: the loader lets each exception escape as
        # it is.
        location = f"kubeconfig {kubeconfig}" if kubeconfig else "the default kubeconfig"
        raise UsageError(f"{location} cannot be read: {_explained(error)}") from None
    return Access(str(configuration.host), pool, lambda: _authorization(configuration))


def _load(configuration: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    if kubeconfig is None and context is None:
        try:
            kubernetes_config.load_incluster_config(configuration)
        except ConfigException:
            kubernetes_config.load_kube_config(client_configuration=configuration)
        return
    file = None if kubeconfig is None else str(kubeconfig)
    kubernetes_config.load_kube_config(file, context, client_configuration=configuration, persist_config=False)


def _unusable(kubeconfig: Path | None, message: str) -> str:
    """Return a sentence about a kubeconfig that lacks a part, or that does not exist, and what to do."""
    files = ":".join(map(str, kubeconfig_files(kubeconfig)))
    problem = _LOADERS_WORDS.sub("", message).strip().rstrip(".")
    if "No configuration found" in problem:
        return f"kubeconfig {files} does not exist or is empty: give a file with --kubeconfig, or set KUBECONFIG"
    todo = f"kubectl config view --kubeconfig {shlex.quote(str(kubeconfig))}" if kubeconfig else "kubectl config view"
    return (
        f"kubeconfig {files} cannot be used: {problem}; correct it, or give another one with --kubeconfig. Next: {todo}"
    )


def _explained(error: Exception) -> str:
    """Return the error in a kubeconfig, and what to do."""
    todo = "give a readable file with --kubeconfig"
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
        context_line = 0 if error.context_mark is None else error.context_mark.line + 1
        problem = yaml_problem(error.problem or "", mark.line + 1, mark.column + 1, error.context or "", context_line)
        return f"it is not valid YAML: {problem}; correct it, or {todo}"
    if isinstance(error, (TypeError, AttributeError)):
        # The loader assumes the right shape, so its own message is about Python.
        return f"a part of it is not of the kind that a kubeconfig has there; {todo}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror.lower()}; {todo}"
    return f"{' '.join(str(error).split()) or type(error).__name__}; {todo}"


def _authorization(configuration: Configuration) -> str:
    try:
        # Calls the hook that runs an exec plugin again, or reads a rotated token.
        return configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
    except ConfigException as error:
        raise ValueError(str(error)) from None
