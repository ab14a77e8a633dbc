"""What all functions of the library share: how they are called, and on whose behalf they run."""
