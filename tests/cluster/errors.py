"""The exceptions of the local cluster."""

from __future__ import annotations


class ClusterFailed(Exception):
    """The local cluster, or a program on it, did not do what was asked; the message says why."""


class PortTaken(ClusterFailed):
    """Another program took a port between its choice and its use: start again with other ports."""


class HelmFailed(Exception):
    """Helm refused the chart or the values; the message is Helm's own."""
