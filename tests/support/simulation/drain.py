"""Bringing everything that is under way to its end."""

from tests.support.fakes.scripted_gateway import Plan
from tests.support.simulation.world import World

ROUNDS = 60  # in which everything comes to rest
UNWELL = 3  # rounds in which the gateway answers as it is told to; then it is well

_STARTED = "SELECT attempt_id::text, lease_id::text FROM payment.attempts WHERE status = 'started'"
_UNKNOWN = "SELECT attempt_id::text, lease_id::text FROM payment.attempts WHERE status = 'unknown'"
_RUNNING = "SELECT EXISTS (SELECT FROM payment.collection_runs WHERE status = 'running')"
# What a step of collections changes, if it does anything; a run may only wait for attempts that were put off.
_COLLECTED = """
SELECT md5(concat(
    (SELECT string_agg(concat(lease_id, next_look_on, collected_as_of, event_sequence), '' ORDER BY lease_id)
       FROM payment.accounts),
    (SELECT string_agg(concat(run_id, status), '' ORDER BY run_id) FROM payment.collection_runs),
    (SELECT count(*) FROM payment.attempts WHERE status <> 'started')))
"""
_TO_GIVE_BACK = "SELECT EXISTS (SELECT FROM payment.returns WHERE next_try_at <= now())"
_NOTICES = "SELECT notice_id FROM payment.attempts WHERE notice_id IS NOT NULL"


async def come_to_rest(world: World, plan: Plan = "done") -> None:
    """Everything that is under way is done; the workers are well, and so is the gateway in the end.

    What stays are attempts that are unknown to both sides: nobody will ever know more of them.
    """
    world.gateway.silent = False
    world.gateway.arrive()
    for worker in list(world.workers):
        await world.restart(worker)
        await world.idle()
    for number in range(ROUNDS):
        moved = await _round(world, plan if number < UNWELL else "done")
        if not moved and not await _left(world) and not await world.owner.fetchval(_RUNNING):
            return
        if not moved:  # what a worker has left behind is taken up by the next one
            await world.restart(world.worker("payment"))
            await world.idle()
    raise AssertionError(
        f"no rest: {await _left(world)}, {[each for each in world.messages if not each.acked]}"
    )


async def _round(world: World, plan: Plan) -> bool:
    moved = await world.flow()
    for service in world.told:
        for message in world.waiting(service):
            moved = True
            await world.deliver(world.worker(service), [message])
            await world.idle()
    moved |= await _answer(world, plan)
    moved |= await _collect(world, plan)
    if await world.owner.fetchval(_TO_GIVE_BACK):
        moved = True
        worker = world.worker("payment")
        await world.run(worker, worker.returns._take_up())
        await world.idle()
        await _answer(world, plan)
    return moved or await _tell_of_chargebacks(world)


async def _answer(world: World, plan: Plan) -> bool:
    there_were = bool(world.gateway.parked)
    while world.gateway.parked:
        world.gateway.answer(0, plan)
        await world.idle()
    return there_were


async def _collect(world: World, plan: Plan) -> bool:
    moved = False
    while await world.owner.fetchval(_RUNNING):
        before = await world.owner.fetchval(_COLLECTED)
        worker = world.worker("payment")
        await world.run(worker, worker.collector._work())
        await world.idle()
        await _answer(world, plan)
        if await world.owner.fetchval(_COLLECTED) == before:
            break  # nobody is at work on what it waits for
        moved = True
    return moved


async def _tell_of_chargebacks(world: World) -> bool:
    """Of those that are not recorded yet, and can be: whether there were any."""
    if await _left(world):
        return False
    recorded = {row["notice_id"] for row in await world.owner.fetch(_NOTICES)}
    for notice in world.gateway.notices:
        notice.heard = notice.notice_id in recorded
    # a chargeback may have to wait for the end of an attempt on the same money
    waiting = {row["lease_id"] for row in await world.owner.fetch(_UNKNOWN)}
    untold = [each for each in world.gateway.notices if not each.heard]
    if all(each.charge.request.lease_id in waiting for each in untold):
        return False
    world.tell_of_chargebacks()
    return True


async def _left(world: World) -> list[str]:
    """Attempts that can get on: nobody is at work on them, or the gateway knows what became of them."""
    started = [row["attempt_id"] for row in await world.owner.fetch(_STARTED)]
    unknown = [row["attempt_id"] for row in await world.owner.fetch(_UNKNOWN)]
    return [*started, *(each for each in unknown if each in world.gateway.records)]
