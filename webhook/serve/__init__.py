"""Answer AdmissionReviews over HTTPS: the admission webhook.

It is stateless and does not call the API server while it answers. A request passes ``webhook/http`` (TLS,
HTTP, deadlines), ``endpoint``, ``handler`` (the decision) and ``review`` (the wire format), and the response takes the
same way back.
"""
