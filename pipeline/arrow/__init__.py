"""What the program does about the imports of PyArrow."""
