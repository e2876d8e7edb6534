"""Provide logs, metrics, health checks and the status page."""
