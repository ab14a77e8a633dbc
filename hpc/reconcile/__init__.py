"""Observe a run, judge it, plan what to do, and do it."""
