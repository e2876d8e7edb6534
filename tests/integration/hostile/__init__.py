"""Hostile requests, and callers with a stolen token."""
