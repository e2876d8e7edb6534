"""Why one object came out as it did, gate by gate; the pure part of ``pullsecrets explain``.

Nothing is decided here: the steps are read off what the functions return that decide at admission and in the loop.
"""
