"""Start, watch and stop the LLM server that a task runs for itself."""
