"""Draw posts for human coders, and import what they coded."""
