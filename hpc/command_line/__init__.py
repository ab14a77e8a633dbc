"""Handle the command line: verbs, arguments, errors and completion."""
