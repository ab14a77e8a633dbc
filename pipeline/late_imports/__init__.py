"""Import modules when one of their names is used first.

A module here stands for one whose import takes long, and that most commands or tasks do not need.
"""
