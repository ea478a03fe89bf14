"""What dies or is cut while the loads run. Each is a function of the world; `seconds` is how long its bodies shall last, `away` how long
there is no way at all."""
import time

from kit import redis as bus
from kit.wait import until

EVENTS = {}


def event(label, seconds=17, brokers=2, away=0, same_way=False):
    def register(function):
        EVENTS[function.__name__] = function
        function.same_way = same_way  # the client stays where it is
        function.label, function.seconds, function.brokers, function.away = label, seconds, brokers, away
        return function
    return register


def restart_after(world, seconds, start):
    time.sleep(seconds)  # the outage itself
    return start()


@event("kill -9 of the broker, another runs")
def broker_killed(world):
    holder = world.holder()
    world.stack.kill(world.brokers[holder])
    world.reattached()
    world.brokers[holder] = world.stack.start_broker(number=holder)


@event("kill -9 of the only broker, back after 2 s", brokers=1, away=2)
def only_broker_killed(world):
    world.stack.kill(world.brokers[0])
    world.brokers[0] = restart_after(world, 2, world.stack.start_broker)
    world.reattached()


@event("SIGTERM of a broker, another runs")
def broker_drained(world):
    holder = world.holder()
    began = time.monotonic()
    world.stack.end(world.brokers[holder])  # checks that it exits 0
    assert time.monotonic() - began < 10
    world.reattached()
    world.brokers[holder] = world.stack.start_broker(number=holder)


@event("rolling restart of three brokers, ten times", seconds=45, brokers=3)
def brokers_rolled(world):
    for _ in range(10 * world.rounds):
        for number in range(3):
            world.stack.end(world.brokers[number])
            world.brokers[number] = world.stack.start_broker(number=number)


@event("kill -9 of Redis, back empty after 2 s", away=2, same_way=True)
def redis_killed(world):
    world.stack.kill(world.stack.redis_program)
    restart_after(world, 2, world.stack.start_redis)


@event("the client's connection reset")
def link_reset(world):
    for _ in range(3 * world.rounds):
        world.link.reset()
        world.reattached()
        time.sleep(world.random.uniform(0.2, 1))  # some traffic between two of them


@event("the client's connection black-holed for 10 s", seconds=22, away=10)
def link_black(world):
    world.link.down()
    time.sleep(10)
    world.link.up()


def cut(world, program):
    with world.stack.redis() as connection:
        lines = connection.call("CLIENT", "LIST").decode().splitlines()
        mine = [line for line in lines if f" name={program}:" in line]
        assert len(mine) >= 2, lines
        for line in world.random.sample(mine, len(mine)):
            try:
                connection.call("CLIENT", "KILL", "ID", line.split("id=", 1)[1].split(" ")[0])
            except bus.Error:
                pass  # it went by itself


@event("the handler's Redis connections cut", same_way=True)
def handler_cut(world):
    for _ in range(3 * world.rounds):
        cut(world, "pg-handler")
        until(lambda: world.metric("bus_up") == 1, "the handler to find Redis again")
        time.sleep(world.random.uniform(0.2, 1))


@event("the broker's Redis connections cut", same_way=True)
def broker_cut(world):
    for _ in range(3 * world.rounds):
        cut(world, "pg-broker")
        time.sleep(world.random.uniform(0.5, 1))
