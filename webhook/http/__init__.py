"""One bounded HTTP/1.1 protocol for both ports; knows neither admission nor what the metrics port shows."""
