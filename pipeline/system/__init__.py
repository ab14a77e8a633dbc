"""Ask the operating system: processes, memory, locks, file systems and owners of files."""
