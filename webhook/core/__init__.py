"""What should be true, and why: values and pure functions.

No I/O, no clock, no logging, no randomness; neither kubernetes nor fastapi. Both roles and every command of the command
line decide with this package, so that ``plan`` and ``explain`` tell exactly what the running system would do. The
import contract in pyproject.toml enforces it.
"""
