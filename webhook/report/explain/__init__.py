"""Explain the result for one object, gate by gate; the pure part of ``pullsecrets explain``.

No decision is made here: the steps come from the functions that decide at admission and in the controller.
"""
