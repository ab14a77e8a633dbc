"""The moderation endpoint that OpenAI and Mistral share."""
