"""A run that is watched: what its live screen and its plain lines say."""
