"""pull-secret-webhook: give each Pod and ServiceAccount of an opted-in namespace its imagePullSecrets.

Dependencies point one way: ``cli`` → ``inspect`` → ``serve``, ``sync`` → ``kube``, ``ops``, ``certs`` → ``report`` →
``rules``. import-linter enforces this (see pyproject.toml).
"""

__version__ = "0.1.0"
"""The version in pyproject.toml, compared by a test. Reading it from the installed package is slow."""
