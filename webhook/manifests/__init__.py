"""Read Kubernetes manifests from files, folders and standard input as kubectl does, and write them."""
