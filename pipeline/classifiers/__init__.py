"""Classify posts, each classifier behind the protocol of `base`, found through `registry`."""
