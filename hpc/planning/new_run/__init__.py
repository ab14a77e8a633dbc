"""Draft a run from the backlog, and create its folder."""
