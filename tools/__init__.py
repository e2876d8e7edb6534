"""Build and generate what is published: documentation, chart texts, image."""
