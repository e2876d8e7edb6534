"""Access to the API server: a client, watches, a Lease for leader election, Events.

Only :mod:`webhook.kube.kubernetes_config` imports the ``kubernetes`` package. The exceptions of that package and of its
transport are translated there.
"""
