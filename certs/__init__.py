"""Certificates of the webhook: issued, judged, rotated and reloaded.

``authority`` issues, ``validity`` judges a pair, ``verify`` judges a chain, ``bundle`` holds what the API server
trusts, ``rotation`` decides what to do next: pure, with the time passed in. ``reload`` and ``files`` touch the process:
the live TLS context, and the files that a certificate may come from. Only this package knows cryptography; nothing here
knows Kubernetes' API.
"""
