"""Write a page about the labels of a name: observe, describe as elements, render as HTML."""
