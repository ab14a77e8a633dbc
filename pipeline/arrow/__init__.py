"""Control what PyArrow imports."""
