"""The controller behind the webhook: copies, references of existing ServiceAccounts, the certificate and the caBundle.

Watches fill caches. A change puts the name of its namespace into one work queue. A worker plans the writes of the
namespace (:mod:`webhook.rules.plan`), and the executor carries them out. Other modules do not write.
"""
