"""What PyArrow does for the program, imported no earlier than it is used."""
