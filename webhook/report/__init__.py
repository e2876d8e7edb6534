"""Put into words what the rules decide; rules know nothing of it."""
