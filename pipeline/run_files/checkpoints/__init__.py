"""What a task has paid for, kept in parts and journals until its output is published."""
