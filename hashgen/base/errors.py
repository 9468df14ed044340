"""The one error class for what a user can fix."""


class HashgenError(Exception):
    """Something the user can fix: one line, *where: what, and what to do*.

    A command prints the message without a traceback and exits with `exit_code`: 1 unless the way it ended matters to a
    script (2 is Typer's, for options it does not understand). Any other exception is a bug of ours and keeps its
    traceback.

    stage: the stage of the pipeline that creates what is missing. The library names no command of DVC or of the
    pipeline; a stage's command line adds how to run that stage.
    """

    def __init__(self, message: str, exit_code: int = 1, *, stage: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.stage = stage
