"""Plan a new run: which posts it takes, and the folder that freezes them."""
