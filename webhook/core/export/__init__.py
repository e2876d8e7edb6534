"""Export the configuration as a MutatingAdmissionPolicy (KEP-3962); the pure part of ``pullsecrets export``.

The CEL here matches the decisions of ``webhook/core/gates.py`` in Python, gate by gate. In
tests/integration/test_export.py both decide about the same objects on the real API server.
"""
