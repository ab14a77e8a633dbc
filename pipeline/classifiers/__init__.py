"""Classifiers, each behind the protocol of `base`."""
