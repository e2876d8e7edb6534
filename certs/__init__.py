"""Issue, check, rotate and reload the certificates of the webhook.

``authority`` issues certificates, ``validity`` checks a pair, ``verify`` checks a chain. ``bundle`` holds the
certificates that the API server trusts. ``rotation`` decides the next step; it is pure and the time is passed in.
``reload`` replaces the certificate in the live TLS context. ``files`` reads certificates from files. Only this package
imports ``cryptography``; it does not use the Kubernetes API.
"""
