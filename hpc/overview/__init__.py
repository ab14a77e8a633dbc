"""Tell what is known of every run under a run root, and its size: the code of `ls`."""
