"""What the project is made of: ``python -m tools.audit`` asks what is known against its dependencies."""
