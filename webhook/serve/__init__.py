"""Answer AdmissionReviews over HTTPS: the admission webhook.

It is stateless and does not call the API server while it answers. A request passes ``server`` (TLS, deadlines),
``app``, ``endpoint`` (HTTP), ``handler`` (the decision) and ``review`` (the wire format), and the response takes the
same way back.
"""
