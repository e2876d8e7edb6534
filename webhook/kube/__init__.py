"""The API server as this project sees it: raw JSON over a pooled connection, watches, a lease, events.

Only :mod:`webhook.kube.package` imports the ``kubernetes`` package; its exceptions, and those of its transport, end
there.
"""
