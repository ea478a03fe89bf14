"""Waiting for things to happen, with a deadline; never for time to pass."""
import time

# The sanitizers make programs several times slower, and the machine may be busy.
PATIENCE = 20.0


def until(condition, what, deadline=PATIENCE):
    """Polls until condition() is truthy and returns that; fails the test with `what` (or what() says) at the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s in vain for {what() if callable(what) else what}")
        time.sleep(0.01)
