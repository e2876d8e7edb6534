"""pull-secret-webhook: the right imagePullSecrets on every new Pod and ServiceAccount of an opted-in namespace.

Dependencies point one way: ``cli``, ``admission``, ``sync`` → ``kube``, ``observe``, ``certs`` → ``core``.
import-linter holds the packages to it (see pyproject.toml).
"""

from importlib.metadata import version

__version__ = version("pull-secret-webhook")
