"""One process as the process manager sees it. Everything a stack runs is a list of these."""

import msgspec


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, as whom, and how it likes to be stopped."""

    # Unique; also the name of its log file.
    name: str
    # Program and arguments; no shell is involved.
    command: tuple[str, ...]
    # Working directory.
    directory: str
    # Added to the process manager's own environment.
    environment: dict[str, str] = {}
    # Account to run under; None: the one of the process manager.
    user: str | None = None
    # Signal that asks it to finish, without "SIG".
    stop_signal: str = "TERM"
    # Seconds it has for that before it is killed.
    stop_wait_s: int = 12
    # Whether its children are asked to finish too. They are always killed with it.
    signal_group: bool = True
