"""Label posts with a large language model behind any OpenAI-compatible server."""
