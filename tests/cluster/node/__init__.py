"""One real node for the local cluster: containerd, kubelet and kube-proxy, within namespaces of Linux of their own.

It needs Linux, root, and the programs that `requirements` names. Everything it leaves behind is gone with the sandbox.
"""
