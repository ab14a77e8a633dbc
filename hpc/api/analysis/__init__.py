"""Work with the labels of a name: read, sample, code, compare and report them."""
