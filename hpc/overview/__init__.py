"""The code of `ls`: what is known of every run under a run root, and its size."""
