"""hpc as a library: the functions that the verbs of `hpc` call, for notebooks and programs.

Nothing is printed: each function returns a frozen value, and hands its messages to `say` if that
is given. No function ends the process, handles signals or leaves a setting of the process changed.
"""
