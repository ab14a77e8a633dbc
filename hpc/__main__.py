"""Run `python -m hpc VERB …`, the same as `hpc VERB …`."""

from hpc.command_line.cli import run_from_shell

if __name__ == "__main__":
    run_from_shell()
