"""The readers' own opinion of image references, registries and pull secrets.

A small Go program (``main.go``) calls the packages that the kubelet and Knative call. ``python -m tests.oracle`` passes
it each case in ``tests/unit/rules/kubelet_verdicts.json`` and writes the verdicts beside the cases, for the unit tests.
``tests/integration/test_oracle.py`` compares whole sources with their copies.
"""
