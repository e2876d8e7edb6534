"""Other projects beside the product: their kinds, Prometheus, a browser."""
