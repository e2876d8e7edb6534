"""Decide the changes to a set of manifests, row by row; the pure part of ``pullsecrets plan``."""
