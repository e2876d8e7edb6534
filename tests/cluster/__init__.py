"""A real Kubernetes control plane on this machine, for tests and for trying things out.

``binaries`` finds or builds etcd, kube-apiserver, kube-controller-manager and kubectl; ``cluster`` runs them on
loopback, without root, and leaves nothing behind; ``install`` puts the project's own chart on such a cluster. Nothing
here imports ``webhook`` or ``certs``: what is tested is never part of the judge.
"""
