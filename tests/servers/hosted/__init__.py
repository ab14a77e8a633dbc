"""Stand-ins for services that are hosted elsewhere and need a key."""
