"""Who may run when: short queries wait in line, long ones hold nobody up."""

import asyncio

from headwater.warehouse.embedded import turns
from headwater.warehouse.embedded.turns import Turns


def test_only_so_many_run_at_once_and_all_get_their_turn() -> None:
    running, most, done = 0, 0, []

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(number)

    async def main() -> None:
        line = Turns(2)
        await asyncio.gather(*(line.take(lambda number=number: work(number)) for number in range(20)))

    asyncio.run(main())
    assert most == 2
    assert done == list(range(20))


def test_a_long_query_gives_its_turn_away(monkeypatch) -> None:
    monkeypatch.setattr(turns, "SHORT_SECONDS", 0.0)

    async def main() -> str:
        line, others_ended = Turns(1), asyncio.Event()

        async def long() -> str:
            await others_ended.wait()
            return "long"

        first = asyncio.create_task(line.take(long))
        await line.take(lambda: asyncio.sleep(0))
        await line.take(lambda: asyncio.sleep(0))
        others_ended.set()
        return await asyncio.wait_for(first, 10)

    assert asyncio.run(main()) == "long"


def test_a_failed_query_gives_its_turn_back() -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def main() -> list[object]:
        line = Turns(1)
        return await asyncio.gather(*(line.take(fails) for _ in range(3)), return_exceptions=True)

    assert [str(outcome) for outcome in asyncio.run(main())] == ["no"] * 3
