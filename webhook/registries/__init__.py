"""Registries, asked whether a credential still logs in: by their own token flow, and nothing else of theirs."""
