"""Read the configuration: YAML, keys, secrets."""
