"""Run verbs in processes of their own, without the second that each takes to import everything.

`python -m tests.attack.verb_server` reads a line `[verb, [argument, ...], stdout, stderr]` for each
verb, forks, and answers with the process's id and then, once it has ended, with its exit code.
"""

import gc
import importlib
import json
import os
import sys

from hpc.command_line import cli

VERBS = {name: importlib.import_module(f"hpc.{name}").VERB for name in cli.VERBS}


def main() -> None:
    # Otherwise each process looks through all that was imported when it ends, and copies it.
    gc.freeze()
    for line in sys.stdin:
        verb, arguments, out, err = json.loads(line)
        process = os.fork()
        if process == 0:
            _become(out, err)
            cli.main(VERBS[verb], arguments)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(out: str, err: str) -> None:
    """Turn the forked process into one as a shell starts it."""
    os.setsid()
    streams = ((os.devnull, os.O_RDONLY), (out, os.O_WRONLY), (err, os.O_WRONLY))
    for number, (path, flags) in enumerate(streams):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)


if __name__ == "__main__":
    main()
