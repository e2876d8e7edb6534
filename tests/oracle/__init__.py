"""The kubelet's own opinion of image references and registries, written down for the unit tests.

``python -m tests.oracle`` asks a small Go program (``main.go``), which calls the packages that the kubelet calls, for
each case in ``tests/unit/core/kubelet_verdicts.json``, and writes the verdicts beside the cases. Run it after cases
were added, or after the version of Kubernetes in ``tests/cluster/binary/go.mod`` changed. It needs Go.
"""
