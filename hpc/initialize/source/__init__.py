"""Find the files that posts may come from, and what their tables and columns hold."""
