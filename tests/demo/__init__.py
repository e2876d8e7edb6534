"""``make run``: the main job on a real API server, shown step by step; see :mod:`tests.demo.__main__`."""
