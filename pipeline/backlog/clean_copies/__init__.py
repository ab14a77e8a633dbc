"""Decode text with faults, and write copies of files in which every byte is text."""
