"""The admission webhook: AdmissionReview in, AdmissionReview out, over HTTPS.

Stateless, and without a call to the API server while it answers. The way of a request: ``server`` (TLS, deadlines) →
``app`` → ``endpoint`` (HTTP) → ``handler`` (the decision) → ``review`` (the wire), and back.
"""
