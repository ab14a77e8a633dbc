"""Label posts with the moderation endpoint that OpenAI and Mistral share."""
