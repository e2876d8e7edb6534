"""The project's image: built from the Dockerfile by whatever builder there is, measured, and looked into."""
