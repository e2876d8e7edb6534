"""``make run``: run the main scenario on a real API server and print each step; see :mod:`tests.demo.__main__`."""
