"""Check, before anything is submitted, what would keep a run's tasks from working."""
