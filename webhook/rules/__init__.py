"""Decide what should be true, and why: values and pure functions."""
