"""Put a successor on the scale of the classifier that it replaces: threshold and map."""
