"""The product as a platform team installs it: its image and chart on a real node, beside a private registry."""
