"""Errors a user can mend: one line that says what is wrong, where, and what to do."""


class SerError(ValueError):
    """Bad input. The command line prints its message on one line and exits with status 2."""


class RefusalError(SerError):
    """The data cannot support what was asked, such as five speaker folds from two speakers."""
