"""The exit codes that every verb shares; 0 is success, 3 a run that is still under way. Pure."""

FAILED, WRONG, INTERRUPTED = 1, 2, 130
