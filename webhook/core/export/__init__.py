"""The configuration as a MutatingAdmissionPolicy (KEP-3962); the pure part of ``pullsecrets export``.

What is written here in CEL is what ``webhook/core/gates.py`` decides in Python, gate by gate;
tests/integration/test_export.py has both decide about the same objects on the real API server.
"""
