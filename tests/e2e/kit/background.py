"""Something that goes on while the test does something else."""
import threading

from .wait import PATIENCE


class Background:
    """Runs `function` in a thread. Its value, or what it raised, comes out of result()."""

    def __init__(self, function, *arguments):
        self.value = self.error = None
        self.thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self.thread.start()

    def _run(self, function, arguments):
        try:
            self.value = function(*arguments)
        except BaseException as error:  # whatever it was, it is result()'s to raise
            self.error = error

    def done(self):
        return not self.thread.is_alive()

    def result(self, deadline=PATIENCE):
        self.thread.join(deadline)
        assert not self.thread.is_alive(), f"it still goes on after {deadline:g} s"
        if self.error:
            raise self.error
        return self.value
