"""Small credential providers for tests, as real programs."""
