"""Random rotations on a real API server, and the pure plan that they are compared with."""
