"""Keep what a task has paid for in parts and journals until its output is published."""
