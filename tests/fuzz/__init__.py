"""Whatever strangers can send or write, thrown at what reads it: ``python -m tests.fuzz TARGET --seconds 60``.

``make test`` runs each target for a second with a mutator of our own; ``make fuzz`` for ten minutes with atheris,
which is led by the code that an input reaches. What is found goes into ``corpus/``, and is tried again for ever.
"""
