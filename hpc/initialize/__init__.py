"""Write a new project's configuration: observe the source and the site, ask, and write files."""
