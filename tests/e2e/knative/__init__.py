"""Knative Serving's controller: the one thing that reads ``imagePullSecrets`` before there is any Pod."""
