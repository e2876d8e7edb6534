"""What would happen to a set of manifests, row by row; the pure part of ``pullsecrets plan``."""
