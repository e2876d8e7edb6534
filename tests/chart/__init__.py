"""Tests of the Helm chart: real Helm renders it, the tests read the objects."""
