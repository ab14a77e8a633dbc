"""A server that a task starts for itself, such as vLLM's: `classifier.server`."""
