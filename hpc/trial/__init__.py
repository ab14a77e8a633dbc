"""Try configurations on a few posts in this process, and compare their answers."""
