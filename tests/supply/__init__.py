"""What the project is made of: ``python -m tests.supply`` asks what is known against its dependencies."""
