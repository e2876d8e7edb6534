"""Test the credentials of registries with the registries' own token flow, without other requests."""
