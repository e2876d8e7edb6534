"""Kubernetes manifests as people keep them: files, folders, standard input; read as kubectl does, and written back."""
