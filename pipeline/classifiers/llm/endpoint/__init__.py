"""Ask a model behind an OpenAI-compatible endpoint, whatever the question."""
