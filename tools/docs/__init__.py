"""Generate pictures for the documentation."""
