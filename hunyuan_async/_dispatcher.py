"""The shell around `Dispatch`: one asyncio task and one timer that hand out every permit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from copy import copy

from hunyuan_async._core.dispatch import Dispatch, Look, OverBudget, Send, Ticket, Wait
from hunyuan_async.errors import BudgetExceeded, HunyuanError

PERMITS_A_TURN = 32  # then other asyncio tasks get the loop


class Dispatcher:
    """Asks *dispatch* what to do next and does it: wakes a waiting submit, or starts a look.

    It runs on the loop in which the first permit is asked for, until `aclose`.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        look: Callable[[int], Awaitable[None]],
        broken: Callable[[BaseException], None],
    ) -> None:
        self.dispatch = dispatch
        self.reason: str | None = None  # what holds the next request back
        self._look = look
        self._broken = broken
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._dead: BaseException | None = None

    async def permit(self, ticket: Ticket, *, again: bool = False) -> None:
        """Wait until *ticket* may be sent; its slot and its credits are then taken.

        Cancelling the wait takes the ticket out of the queue and costs nothing.

        Raises:
            BudgetExceeded: The caller's limit on credits is spent.
        """
        self._start()
        turn = asyncio.get_running_loop().create_future()
        self._turns[ticket] = turn
        self.dispatch.ask(ticket, again=again)
        self.wake()
        try:
            await turn
        except asyncio.CancelledError:
            ticket.withdrawn = True
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back(ticket)  # granted and cancelled in the same turn of the loop
            raise
        finally:
            del self._turns[ticket]

    def wake(self) -> None:
        """Ask again what to do: something has changed."""
        if self._dead is None:
            self._start()
        self._changed.set()

    def turn_away(self, error: HunyuanError) -> None:
        """Let every submit that waits for its turn fail with a copy of *error*."""
        for ticket, turn in self._turns.items():
            if not turn.done():
                ticket.withdrawn = True
                turn.set_exception(copy(error))

    async def aclose(self) -> None:
        """Stop: nothing is sent or looked at any more."""
        running = [*self._looks, self._running] if self._running else [*self._looks]
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self) -> None:
        if self._dead:
            raise self._dead
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="hunyuan_async dispatcher")
            self._running.add_done_callback(self._ended)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            for _ in range(PERMITS_A_TURN):
                decision = self.dispatch.next(loop.time())
                if isinstance(decision, Wait):
                    self.reason = decision.obstacle.reason if decision.obstacle else None
                    await self._sleep(decision.until)
                    break
                self._act(decision)
            else:
                await asyncio.sleep(0)

    def _act(self, decision: Send | Look | OverBudget) -> None:
        match decision:
            case Send(ticket):
                turn = self._turns.get(ticket)
                if turn is None or turn.done():  # cancelled a moment ago
                    self._give_back(ticket)
                else:
                    turn.set_result(None)
            case OverBudget(ticket, budget):
                error = BudgetExceeded(
                    f"The limit of {budget.limit} credits leaves no room for {ticket.credits} more: "
                    f"{budget.spent} spent, {budget.reserved} reserved, {budget.at_risk} at risk. Nothing was sent. "
                    "Go on with a higher limit (max_credits)."
                )
                turn = self._turns.get(ticket)
                if turn and not turn.done():
                    turn.set_exception(error)
            case Look(key):
                look = asyncio.create_task(self._looked(key))
                self._looks.add(look)
                look.add_done_callback(self._ended)

    def _give_back(self, ticket: Ticket) -> None:
        self.dispatch.give_back(ticket)
        self._changed.set()

    async def _looked(self, key: int) -> None:
        try:
            await self._look(key)
        finally:
            self._changed.set()

    async def _sleep(self, until: float) -> None:
        if until == math.inf:
            await self._changed.wait()
            return
        timer = asyncio.get_running_loop().call_at(until, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def _ended(self, ended: asyncio.Task[None]) -> None:
        """Pass a bug in the dispatcher or in a look on to everyone who waits: nobody may hang."""
        self._looks.discard(ended)
        if ended.cancelled() or (error := ended.exception()) is None:
            return
        self._dead = error
        for ticket, turn in self._turns.items():
            ticket.withdrawn = True
            if not turn.done():
                turn.set_exception(error)
        if self._running:
            self._running.cancel()
        self._broken(error)
