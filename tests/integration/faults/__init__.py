"""Faults between product and cluster: proxies, balancers, late links, webhooks that deny, broken certificates."""
