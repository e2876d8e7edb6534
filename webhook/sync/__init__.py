"""The loop behind the webhook: copies, references of existing ServiceAccounts, the certificate and the caBundle.

Watches fill caches; a change puts the namespace's name into one work queue; a worker asks :mod:`webhook.core.plan` what
to write and the executor writes it. Nothing else writes.
"""
