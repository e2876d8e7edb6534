"""Access the API server: a client, watches, a Lease for leader election, and Events.

Only :mod:`webhook.kube.kubernetes_config` imports the ``kubernetes`` package. It translates the exceptions of that
package and of its transport.
"""
