"""Every event under every load: every exchange completes byte for byte, every POST is delivered once, no visitor sees an error."""
import time

import pytest

import link
from events import EVENTS
from kit.programs import SLOW_BUILD
from kit.wait import until
from loads import Loads

SIZE = 1 << 27 if SLOW_BUILD else 1 << 30
RESUMED = 3  # seconds from when there is a way again
KEPT_KB = 16 * 1024  # they had nothing in hand before; some of the heap stays for the next streams
NO_LINK = link.missing()


@pytest.mark.parametrize("name", EVENTS)
def test_nothing_is_lost(world, name, matrix_front, record_property):
    event = EVENTS[name]
    if event.__name__.startswith("link_") and NO_LINK:
        pytest.skip(NO_LINK)
    here = world(matrix_front, brokers=event.brokers, with_link=not NO_LINK)
    loads = Loads(here.site, event.seconds, SIZE)
    ends = here.stack.handler, here.client
    before = [end.rss_kb() for end in ends]
    loads.start()
    if here.long:
        time.sleep(here.random.uniform(0, 5))  # wherever that may be in their bodies
    event(here)
    loads.finish()
    for load in loads.all:
        record_property("row", (f"{event.label} ({matrix_front})", load.name, load.exchanges, load.completed, len(load.errors),
                                load.duplicates, f"{load.longest:.2f} s"))
    assert not loads.errors(), "\n".join(loads.errors()[:20])
    assert all(load.completed == load.exchanges and load.duplicates == 0 for load in loads.all)
    here.nothing_left()
    changes = here.metric("path_changes_total")
    until(lambda: sum("goes on by another way" in line for line in here.stack.handler.err.lines) == changes,
          "the handler's log to have a line for each change of the way")
    assert changes > 0 or event.same_way, "the download, for one, went on by another way"
    assert here.metric("resumed_total") > 0, "the download, for one, was resumed"
    if SLOW_BUILD:
        return  # the sanitizers' times and memory say nothing
    for load in loads.all:
        assert load.longest <= event.away + RESUMED, f"{load.name} paused for {load.longest:.2f} s"
    # What was in flight at once in the outage (50 requests came each second) is given back with the next heartbeats.
    grown = lambda: [end.rss_kb() - kb for end, kb in zip(ends, before)]  # noqa: E731
    until(lambda: sum(grown()) <= KEPT_KB, lambda: f"handler and client to be near {before} KB again; more: {grown()}", 10)
