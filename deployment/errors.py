"""The one exception of this package."""


class StackError(Exception):
    """What went wrong, and what the person at the keyboard can do about it.

    Everything a user can cause or repair (a taken port, a missing program, a server that does not start) ends
    as a StackError; any other exception that leaves this package is a mistake in it.
    """

    def __init__(self, problem: str, advice: str = "", log: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice
        # The last lines of the log of the program concerned; may be empty.
        self.log = log

    def __str__(self) -> str:
        parts = [self.problem]
        if self.log:
            parts.append("".join(f"    | {line}\n" for line in self.log.splitlines()).rstrip())
        if self.advice:
            parts.append(self.advice)
        return "\n".join(parts)
