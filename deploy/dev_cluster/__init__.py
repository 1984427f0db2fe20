"""The development cluster: production's processes, on one machine.

`layout` says what there is: processes, ports, flags. `process` starts and ends one process. `certificates` and `backends` make
what the processes stand on; `cluster` puts it all together; `api` asks a gateway; `demo` makes a machine; `main` is the command.
"""


class Trouble(Exception):
    """Something that the user can do something about; shown without a trace."""


def say(text: str) -> None:
    """Tells the user, at once."""
    print(text, flush=True)
