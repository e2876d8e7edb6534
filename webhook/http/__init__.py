"""Serve bounded HTTP/1.1 on both ports, independent of admission and of the pages of the metrics port."""
