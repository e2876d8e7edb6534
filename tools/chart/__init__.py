"""Generate the README and the dashboard of the chart."""
