"""Dependencies of the project; ``python -m tools.audit`` looks up their known vulnerabilities."""
