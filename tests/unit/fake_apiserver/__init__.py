"""A small API server on loopback that really stores, lists, watches and refuses, with faults to switch on.

It knows no kinds and validates almost nothing: what it decides about objects is tested on the real API server. What it
is for are the hours that a real one cannot be made to have: 410 in the middle of a watch, HTML with a 200, a peer that
has fallen silent.
"""
