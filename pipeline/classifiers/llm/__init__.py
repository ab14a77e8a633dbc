"""Labels from a large language model behind any OpenAI-compatible server."""
