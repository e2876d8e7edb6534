"""pull-secret-webhook: the right imagePullSecrets on every new Pod and ServiceAccount of an opted-in namespace.

Dependencies point one way: ``cli``, ``admission``, ``sync`` → ``kube``, ``observe``, ``certs`` → ``core``.
import-linter holds the packages to it (see pyproject.toml).
"""

__version__ = "0.1.0"
"""As in pyproject.toml, which a test compares: to ask the installed package takes longer than most imports."""
