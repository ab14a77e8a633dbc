"""Who may change a run: the lock of its folder, and who holds it."""
