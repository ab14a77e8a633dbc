"""Ask a person for what cannot be observed, or take it from options and proposals."""
