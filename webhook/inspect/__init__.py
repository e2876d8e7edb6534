"""A cluster as it is, read with the rights of whoever asks; nothing here writes anything."""
