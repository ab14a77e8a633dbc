"""Share what all functions of the library need: how they are called, and for whom they run."""
