"""Make all decisions, as values and pure functions.

This package has no I/O, clock, logging or randomness, and imports neither kubernetes nor fastapi. Both roles and every
command decide with it, so that ``plan`` and ``explain`` show exactly the decisions of the running system. The import
contract in pyproject.toml enforces it.
"""
