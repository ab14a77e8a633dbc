"""The command line: verbs, arguments, errors and completion."""
