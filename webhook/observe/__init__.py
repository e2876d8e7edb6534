"""Logs, metrics and health, for the people and machines that operate this."""
