"""Define the exit codes that every verb shares; 0 is success. Pure."""

FAILED, WRONG, UNDER_WAY, INTERRUPTED = 1, 2, 3, 130
