"""Decide when a process that waits for a run looks at it again."""
