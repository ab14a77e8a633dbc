"""Find the labels of a name, wherever they are, and hand them over."""
