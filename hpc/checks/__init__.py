"""Observe what can be known before anything is spent, and judge it as findings."""
