"""Classifiers, each behind the protocol of `base`, found through `registry`."""
