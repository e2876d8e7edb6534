"""What the people and machines that operate this see of it: logs, metrics, health."""
