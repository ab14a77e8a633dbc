"""Handle runs and Slurm on the login node: observe, judge, plan, act."""

import sys

if sys.argv[:1] == ["-m"]:
    # Python is looking for the module of `python -m hpc.VERB`, and imports this package first. The
    # imports of the verb take most of the time, and Ctrl-C in them would be a traceback.
    from hpc.command_line import quiet_interruption

    quiet_interruption.before_a_verb()
