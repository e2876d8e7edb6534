"""cert-manager, as a process beside the cluster."""
