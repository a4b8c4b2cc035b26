"""What is done next, and why nothing is."""

import gc
import math
import sys
from collections.abc import Callable, Iterable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunyuan_async._core.breaker import FIRST_REST, IN_A_ROW
from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import (
    LOOKS_IN_A_ROW,
    MAX_POLLS_OUT,
    Decision,
    Dispatch,
    Look,
    Obstacle,
    OverBudget,
    Send,
    Ticket,
    Wait,
)
from hunyuan_async._core.latency import LatencyModel
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import SCOUTS, SURE_HIT, PollSchedule
from hunyuan_async._core.retry import TryAgain
from hunyuan_async._core.slots import Slots
from hunyuan_async.errors import NotSent, RateLimited, ServiceUnavailable
from hunyuan_async.settings import Polling

LIMITED = TryAgain(RateLimited("slow down"), limited=True)
DOWN = TryAgain(ServiceUnavailable("down for repair"))


def dispatching(rate: float = math.inf, slots: int = 8, tickets: Iterable[Ticket] = ()) -> Dispatch:
    """A dispatch that learns nothing, with these submits waiting."""
    dispatch = Dispatch(Pacer(rate, rate), PollSchedule(Polling(), LatencyModel()), Slots(slots, slots), max_saving=200)
    for ticket in tickets:
        dispatch.ask(ticket)
    return dispatch


def tickets(count: int, budget: Budget | None = None) -> list[Ticket]:
    """Places in the queue, all of one budget."""
    budget = budget or Budget()
    return [Ticket(25, budget) for _ in range(count)]


def decisions(dispatch: Dispatch, now: float) -> list[Decision]:
    """Everything that may be done now, and the wait after it."""
    made = [dispatch.next(now)]
    while not isinstance(made[-1], Wait):
        made.append(dispatch.next(now))
    return made


def test_submits_go_in_order() -> None:
    """Each takes its slot and its credits with it; then only a change can end the wait."""
    first, second = queue = tickets(2)
    dispatch = dispatching(tickets=queue)

    assert decisions(dispatch, 0.0) == [Send(first), Send(second), Wait(math.inf)]
    assert (dispatch.slots.in_use, first.budget.reserved, dispatch.waiting) == (2, 50, 0)


def test_a_refused_submit_goes_first_again() -> None:
    """It has waited longest."""
    first, second = queue = tickets(2)
    dispatch = dispatching(tickets=queue)
    dispatch.next(0.0)
    dispatch.give_back(first)
    dispatch.ask(first, again=True)

    assert decisions(dispatch, 0.0)[:2] == [Send(first), Send(second)]


def test_a_withdrawn_submit_costs_nothing() -> None:
    """It is passed over, wherever it stands in the queue."""
    queue = tickets(5)
    dispatch = dispatching(tickets=queue)
    for withdrawn in (0, 1, 3):
        queue[withdrawn].withdrawn = True

    assert dispatch.waiting == 2
    assert decisions(dispatch, 0.0) == [Send(queue[2]), Send(queue[4]), Wait(math.inf)]
    assert dispatch.slots.in_use == 2


def test_due_looks_go_first() -> None:
    """They free slots; a look that is not due yet waits for its time."""
    (ticket,) = queue = tickets(1)
    dispatch = dispatching(tickets=queue)
    dispatch.schedule.add_known(1, 0.0)
    dispatch.schedule.add(2, 0.0)

    assert decisions(dispatch, 0.0) == [Look(1), Send(ticket), Wait(0.5)]
    assert decisions(dispatch, 0.5)[0] == Look(2)
    assert dispatch.polls_out == 2


@pytest.mark.parametrize(("behind", "leaves"), [(0, Send), (10_000, Look)])
def test_those_who_will_come_count(behind: int, leaves: type[Decision]) -> None:
    """A look that will find its task finished goes before a submit, unless that one is among the last."""
    dispatch = dispatching(rate=1.0, tickets=[Ticket(25, Budget(None), behind=behind)])
    dispatch.schedule.model.finished = 1  # or another scout would take the place of one that is gone
    for key in range(SCOUTS + 1):
        dispatch.schedule.add(key, 0.0)
        if key < SCOUTS:
            dispatch.schedule.discard(key)

    assert isinstance(dispatch.next(1e6), leaves)


def test_a_click_goes_before_looks_but_not_twice() -> None:
    """Or nobody would notice that images are finished while people keep clicking."""
    clicks = [Ticket(25, Budget(None), interactive=True) for _ in range(3)]
    dispatch = dispatching(rate=1.0, tickets=clicks)
    for key in (1, 2):
        dispatch.schedule.add_known(key, 0.0)

    assert [dispatch.next(float(now)) for now in range(5)] == [
        Send(clicks[0]),
        Look(1),
        Send(clicks[1]),
        Look(2),
        Send(clicks[2]),
    ]


def test_the_time_that_goes_by_is_counted_by_what_it_is_for() -> None:
    """Only while somebody waits."""
    first, second = queue = tickets(2)
    dispatch = dispatching(rate=0.5, slots=1, tickets=queue)
    for now in (0.0, 1.0, 3.0):
        decisions(dispatch, now)
    dispatch.accepted(first, 3.0)
    dispatch.slots.finished()
    dispatch.pacer.pause(4.0, 4.0, "no connection", 5.0, 0.0)
    for now in (4.0, 6.0, 9.0, 30.0):
        decisions(dispatch, now)

    assert second.sent_at == 9.0
    assert dispatch.waited == {"slots": 4.0, "pause": 5.0}


def test_looks_and_submits_share_one_rate() -> None:
    """Whoever leaves, the next one waits, and the wait says for what."""
    queue = tickets(2)
    dispatch = dispatching(rate=2.0, tickets=queue)
    dispatch.schedule.add_known(1, 0.0)

    assert decisions(dispatch, 0.0) == [Look(1), Wait(0.5, Obstacle("rate", "the request rate"))]
    assert decisions(dispatch, 0.25) == [Wait(0.5, Obstacle("rate", "the request rate"))]
    assert decisions(dispatch, 0.5) == [Send(queue[0]), Wait(1.0, Obstacle("rate", "the request rate"))]
    assert decisions(dispatch, 1.0) == [Send(queue[1]), Wait(math.inf, None)]


def test_what_is_not_held_back_has_no_reason_to_wait() -> None:
    """A look that becomes due after the pace allows it waits for its own time."""
    dispatch = dispatching(rate=2.0)
    dispatch.schedule.add(1, 0.0)
    dispatch.pacer.take(0.0)

    assert dispatch.next(0.25) == Wait(0.5, None)
    dispatch.pacer.pause(0.25, 0.25, "no connection", 9.0, 0.0)
    assert dispatch.next(0.25) == Wait(9.25, None)
    assert dispatch.next(0.5) == Wait(9.25, Obstacle("pause", "no connection"))
    assert dispatch.next(9.25) == Look(1)


def test_only_so_many_looks_are_out_at_once() -> None:
    """More would only wait in the connection pool; submits go on."""
    dispatch = dispatching()
    for key in range(MAX_POLLS_OUT + 1):
        dispatch.schedule.add_known(key, 0.0)
    assert decisions(dispatch, 0.0) == [*map(Look, range(MAX_POLLS_OUT)), Wait(math.inf)]
    (ticket,) = tickets(1)
    dispatch.ask(ticket)
    assert dispatch.next(0.0) == Send(ticket)

    dispatch.looked(200, None, now=0.0, sent_at=0.0, jitter=0.0)

    assert dispatch.next(0.0) == Look(MAX_POLLS_OUT)


@pytest.mark.parametrize(
    ("in_use", "saving", "reserved", "obstacle"),
    [
        (8, 0, 0, Obstacle("slots", "all 8 slots are in use")),
        (0, 201, 0, Obstacle("saving", "201 finished images wait to be saved")),
        (0, 0, 76, Obstacle("budget", "the rest of the budget is reserved for submits under way")),
    ],
)
def test_an_obstacle_holds_submits_back(in_use: int, saving: int, reserved: int, obstacle: Obstacle) -> None:
    """The head waits and says why, looks go on, and nothing is taken."""
    budget = Budget(100, reserved=reserved)
    dispatch = dispatching(tickets=tickets(2, budget))
    dispatch.slots.in_use, dispatch.saving = in_use, saving
    dispatch.schedule.add_known(1, 0.0)
    dispatch.schedule.add(2, 0.0)

    assert decisions(dispatch, 0.0) == [Look(1), Wait(0.5, obstacle)]
    assert (dispatch.slots.in_use, budget.reserved, dispatch.waiting) == (in_use, reserved, 2)


def test_no_obstacle_is_met_too_early() -> None:
    """The last slot, the last image to save and the last credit are no obstacles."""
    (ticket,) = queue = tickets(1, Budget(125, spent=50, reserved=50))
    dispatch = dispatching(slots=2, tickets=queue)
    dispatch.slots.in_use, dispatch.saving = 1, 200

    assert dispatch.next(0.0) == Send(ticket)


def test_a_budget_that_is_reserved_holds_up_its_own_tenant_alone() -> None:
    """Others have their own; the one that waits goes first when there is an answer."""
    narrow, wide = Budget(25), Budget(None)
    queue = [Ticket(25, narrow, "a"), Ticket(25, narrow, "a"), Ticket(25, wide, "b"), Ticket(25, wide, "b")]
    dispatch = dispatching(tickets=queue)

    *sent, wait = decisions(dispatch, 0.0)
    assert sent == [Send(queue[0]), Send(queue[2]), Send(queue[3])]
    assert wait == Wait(math.inf, Obstacle("budget", "the rest of the budget is reserved for submits under way"))

    dispatch.refused(queue[0])
    assert dispatch.next(0.0) == Send(queue[1])


def test_what_can_never_fit_the_budget_is_refused() -> None:
    """Only then: what is reserved may come free again, and even a pause does not keep the news back."""
    budget = Budget(100)
    first, large, last = queue = [Ticket(credits, budget) for credits in (25, 100, 25)]
    dispatch = dispatching(tickets=queue)
    assert decisions(dispatch, 0.0)[0] == Send(first)
    assert dispatch.next(0.0) == Wait(
        math.inf, Obstacle("budget", "the rest of the budget is reserved for submits under way")
    )

    dispatch.accepted(first, 0.0)
    dispatch.pacer.pause(0.0, 0.0, "no connection", 9.0, 0.0)

    assert dispatch.next(0.0) == OverBudget(large, budget)
    assert dispatch.next(9.0) == Send(last)


@pytest.mark.parametrize(
    ("end", "slots", "budget", "setbacks"),
    [
        (Dispatch.give_back, 0, Budget(100), 1),
        (Dispatch.refused, 0, Budget(100), 1),
        (lambda dispatch, ticket: dispatch.accepted(ticket, 1.0), 1, Budget(100, spent=25), 0),
        (lambda dispatch, ticket: dispatch.unanswered(ticket, 1.0), 0, Budget(100, at_risk=25), 1),
    ],
    ids=["give_back", "refused", "accepted", "unanswered"],
)
def test_where_slot_and_credits_go(
    end: Callable[[Dispatch, Ticket], object], slots: int, budget: Budget, setbacks: int
) -> None:
    """An accepted task keeps its slot and shows that all is well, an unknown outcome keeps its credits."""
    (ticket,) = queue = tickets(1, Budget(100))
    dispatch = dispatching(tickets=queue)
    dispatch.next(0.0)
    dispatch.pacer.setbacks = 1
    assert (dispatch.slots.in_use, ticket.budget) == (1, Budget(100, reserved=25))

    end(dispatch, ticket)

    assert (dispatch.slots.in_use, ticket.budget, dispatch.pacer.setbacks) == (slots, budget, setbacks)


@pytest.mark.parametrize(
    ("verdict", "pause", "rate", "reason"),
    [
        (LIMITED, 0.375, 10.0, "the service limits requests"),
        (TryAgain(RateLimited("slow down"), limited=True, after=9.0), 9.0, 10.0, "the service limits requests"),
        (DOWN, 0.375, 10.0, "down for repair"),
        (TryAgain(ServiceUnavailable("down"), after=9.0), 9.0, 10.0, "down"),
        (TryAgain(NotSent("no route")), 0.375, 10.0, "no route"),
    ],
)
def test_a_submit_refused_for_now_pauses_everything(verdict: TryAgain, pause: float, rate: float, reason: str) -> None:
    """Its slot and credits come free; the rate is cut when requests pass again, if there was a limit."""
    (ticket,) = queue = tickets(1, Budget(100))
    dispatch = dispatching(rate=10.0, tickets=queue)
    dispatch.next(0.0)

    assert dispatch.put_off(ticket, verdict, now=1.0, jitter=0.0) == pause
    assert dispatch.pacer.rate == pytest.approx(rate)
    assert (dispatch.slots.in_use, ticket.budget) == (0, Budget(100))
    dispatch.ask(ticket, again=True)
    assert dispatch.next(1.0) == Wait(1.0 + pause, Obstacle("pause", reason))


def test_a_task_limit_costs_a_slot_and_no_pause() -> None:
    """The refused submit goes again when a task has finished, at the rate that there was."""
    queue = tickets(6)
    dispatch = dispatching(tickets=queue)
    assert decisions(dispatch, 0.0)[:6] == [Send(ticket) for ticket in queue]
    for ticket in queue[:4]:
        dispatch.accepted(ticket, 0.0)
    assert dispatch.put_off(queue[4], LIMITED, now=0.0, jitter=0.0) == 0.375
    dispatch.polls_out = 1
    dispatch.looked(200, None, now=1.0, sent_at=0.5, jitter=0.0)

    assert dispatch.put_off(queue[5], LIMITED, now=1.0, jitter=0.0) is None

    dispatch.ask(queue[5], again=True)
    assert dispatch.next(1.0) == Wait(math.inf, Obstacle("slots", "all 4 slots are in use"))
    dispatch.slots.finished()
    assert dispatch.next(1.0) == Send(queue[5])


@pytest.mark.parametrize(
    ("status", "after", "pause", "rate"),
    [
        (200, None, None, 4.0),
        (404, None, None, 4.0),
        (500, None, None, 2.0),
        (503, 9.0, None, 2.0),
        (None, None, None, 2.0),
        (429, None, 0.375, 2.0),
        (429, 9.0, 9.0, 2.0),
    ],
)
def test_what_a_look_teaches_about_the_rate(
    status: int | None, after: float | None, pause: float | None, rate: float
) -> None:
    """An answer raises it, a limit pauses it, and trouble at the service does neither."""
    dispatch = dispatching()
    dispatch.pacer = Pacer(2.0, 4.0)
    dispatch.polls_out = 5
    for look in range(4):
        dispatch.pacer.take(look / 2)
        assert dispatch.looked(200, None, now=look / 2, sent_at=look / 2, jitter=0.0) is None
        assert dispatch.polls_out == 4 - look

    dispatch.pacer.take(2.0)
    assert dispatch.looked(status, after, now=2.0, sent_at=2.0, jitter=0.0) == pause
    assert dispatch.pacer.rate == pytest.approx(rate)
    assert dispatch.polls_out == 0


def test_a_service_in_trouble_is_asked_less_and_less() -> None:
    """Looks that fail as well do not shorten the pauses of submits."""
    dispatch = dispatching(rate=10.0)
    pauses = []
    (ticket,) = tickets(1)
    for now in (0.0, 10.0, 20.0):
        dispatch.ask(ticket)
        assert dispatch.next(now) == Send(ticket)
        pauses.append(dispatch.put_off(ticket, DOWN, now=now, jitter=0.0))
        dispatch.polls_out += 1
        dispatch.looked(503, None, now=now, sent_at=now, jitter=0.0)

    assert pauses == [0.375, 0.75, 1.5]


@pytest.mark.parametrize(
    ("verdict", "looks", "accepted", "blamed"),
    [
        (LIMITED, [200], 0, True),
        (LIMITED, [200], 1, False),
        (LIMITED, [502], 0, False),
        (LIMITED, [None], 0, False),
        (LIMITED, [429, 200], 0, False),
        (DOWN, [200], 0, False),
    ],
)
def test_what_shows_a_task_limit(verdict: TryAgain, looks: list[int | None], accepted: int, blamed: bool) -> None:
    """Two limited submits in a row, while looks are answered and none is limited."""
    queue = tickets(4)
    dispatch = dispatching(tickets=queue)
    assert len(decisions(dispatch, 0.0)) == 5
    dispatch.put_off(queue[0], verdict, now=0.0, jitter=0.0)
    for status in looks:
        dispatch.looked(status, None, now=0.0, sent_at=0.0, jitter=0.0)
    for ticket in queue[1 : 1 + accepted]:
        dispatch.accepted(ticket, 0.0)
    dispatch.put_off(queue[2], LIMITED, now=0.0, jitter=0.0)

    assert dispatch.slots.found is blamed


RESTING = Obstacle("unclear", f"{IN_A_ROW} submits in a row got no clear answer; each may have been charged")


def resting(waiting: int = 0) -> tuple[Dispatch, list[Ticket]]:
    """A dispatch whose submits rest since 1.0, and the submits that wait for the end of it."""
    queue = tickets(IN_A_ROW)
    dispatch = dispatching(tickets=queue)
    decisions(dispatch, 0.0)
    rests = [dispatch.unanswered(ticket, 1.0) for ticket in queue]
    assert rests == [*[None] * (IN_A_ROW - 1), FIRST_REST]
    queue = tickets(waiting)
    for ticket in queue:
        dispatch.ask(ticket)
    return dispatch, queue


def test_looks_go_on_while_submits_rest() -> None:
    """The wait ends when a look is due or when the rest does, whichever comes first."""
    dispatch, (first, _) = resting(2)
    dispatch.schedule.add_known(1, 2.0)
    dispatch.schedule.add_known(2, 50.0)

    assert decisions(dispatch, 1.0) == [Wait(2.0, RESTING)]
    assert decisions(dispatch, 2.0) == [Look(1), Wait(31.0, RESTING)]
    assert decisions(dispatch, 31.0) == [Send(first), Wait(50.0, RESTING)]
    assert decisions(dispatch, 50.0) == [Look(2), Wait(math.inf, RESTING)]


def test_a_probe_decides_how_it_goes_on() -> None:
    """Without a clear answer the next rest is longer; with one, everybody goes."""
    dispatch, (first, *others) = resting(4)
    assert decisions(dispatch, 31.0)[0] == Send(first)
    assert dispatch.unanswered(first, 32.0) == 2 * FIRST_REST
    assert decisions(dispatch, 32.0) == [Wait(92.0, Obstacle("unclear", RESTING.reason.replace("5", "6")))]
    assert decisions(dispatch, 92.0)[0] == Send(others[0])

    dispatch.accepted(others[0], 0.0)

    assert decisions(dispatch, 92.0) == [Send(others[1]), Send(others[2]), Wait(math.inf)]


@pytest.mark.parametrize(
    ("verdict", "sends"),
    [(LIMITED, 1), (DOWN, 2), (TryAgain(NotSent("no route")), 1)],
    ids=["limited", "down", "not sent"],
)
def test_a_probe_refused_for_now_is_a_clear_answer(verdict: TryAgain, sends: int) -> None:
    """One that never left is none."""
    dispatch, (first, *_) = resting(3)
    dispatch.next(31.0)

    dispatch.put_off(first, verdict, now=31.0, jitter=0.0)

    assert sum(isinstance(decision, Send) for decision in decisions(dispatch, 60.0)) == sends


def test_the_end_of_a_rest_wakes_nobody_who_cannot_go() -> None:
    """A wait that ended in the past would keep the loop busy for nothing."""
    idle, _ = resting()
    assert (idle.next(1.0), idle.next(31.0)) == (Wait(math.inf), Wait(math.inf))

    crowded, _ = resting(1)
    crowded.slots.in_use = 8
    crowded.schedule.add_known(1, 50.0)
    assert crowded.next(31.0) == Wait(50.0, Obstacle("slots", "all 8 slots are in use"))


words = "ask again withdraw accepted limited down gone unanswered running finished silence"
actions = st.lists(st.sampled_from(words.split()), max_size=80)


@settings(deadline=None, max_examples=60)
@given(actions, st.sampled_from([0.5, 5.0, math.inf]), st.none() | st.integers(0, 300), st.booleans(), st.data())
def test_whatever_happens(
    actions: list[str], rate: float, credits: int | None, troubled: bool, data: st.DataObject
) -> None:
    """No wait ends in the past, none is endless while something could happen, and no permit is given without cause."""
    dispatch = dispatching(rate=rate, slots=3)
    dispatch.breaker.unclear = IN_A_ROW - 1 if troubled else 0
    budget = Budget(credits)
    now, keys = 0.0, 0
    asked: list[Ticket] = []
    sent: list[Ticket] = []
    out: list[int] = []
    for action in actions:
        match action:
            case "ask" | "again":
                asked.append(Ticket(25, budget))
                dispatch.ask(asked[-1], again=action == "again")
            case "withdraw" if asked:
                asked.pop(data.draw(st.integers(0, len(asked) - 1))).withdrawn = True
            case "accepted" if sent:
                dispatch.accepted(sent.pop(0), 0.0)
                keys += 1
                dispatch.schedule.add(keys, now)
            case "limited" | "down" if sent:
                dispatch.put_off(sent.pop(0), LIMITED if action == "limited" else DOWN, now=now, jitter=0.5)
            case "gone" if sent:
                dispatch.give_back(sent.pop(0))
            case "unanswered" if sent:
                dispatch.unanswered(sent.pop(0), now)
            case "running" | "finished" | "silence" if out:
                key = out.pop(0)
                dispatch.looked(None if action == "silence" else 200, None, now=now, sent_at=now, jitter=0)
                if action == "finished":
                    dispatch.schedule.finished(key, now)
                    dispatch.slots.finished()
                else:
                    dispatch.schedule.running(key, now)
        for decision in decisions(dispatch, now):
            match decision:
                case Send(ticket):
                    asked.remove(ticket)
                    sent.append(ticket)
                    assert now >= max(dispatch.pacer.paused_until, dispatch.breaker.rests_until)
                case OverBudget(ticket):
                    asked.remove(ticket)
                    assert credits is not None
                    assert budget.spent + budget.at_risk + 25 > credits
                case Look(key):
                    assert key not in out
                    out.append(key)
                case Wait(until, reason):
                    assert until > now
                    may_send = dispatch.slots.free and budget.fits(25) and not dispatch.breaker.probing
                    could_send = asked and may_send
                    assert until < math.inf or not (could_send or len(dispatch.schedule) > len(out))
                    assert reason or not asked
                    now = until if until < math.inf else now + 1
        assert dispatch.slots.in_use == len(sent) + len(dispatch.schedule)
        assert len(asked) == dispatch.waiting
        assert credits is None or budget.spent + budget.reserved + budget.at_risk <= credits


def steps_of(dispatch: Dispatch, now: float) -> int:
    """How many instructions of Python one decision takes."""
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # or what other tests left behind might be finalized now
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        dispatch.next(now)
    finally:
        sys.settrace(before)
        gc.enable()
    return steps


@pytest.mark.parametrize("now", [0.0, 0.5, 9.0], ids=["nothing due", "scouts due", "all due"])
def test_a_decision_costs_the_same_however_many_tasks_there_are(now: float) -> None:
    """It looks at the head of the queue and of the schedule, and scans neither."""
    costs = []
    for count in (10, 20_000):
        dispatch = dispatching(slots=count, tickets=tickets(count))
        dispatch.slots.in_use = count
        for key in range(count):
            dispatch.schedule.add(key, 0.0)
        costs.append(steps_of(dispatch, now))

    assert costs[0] == costs[1] > 50


def test_a_sure_hit_goes_before_submits_and_a_worse_look_after_them() -> None:
    """Every request goes to what is worth most."""
    dispatch = dispatching(rate=1.0, tickets=tickets(200))
    for key in range(4):
        dispatch.schedule.add(key, 0.0)
    for key in range(3):
        dispatch.schedule.discard(key)  # the scouts
    sure_at = dispatch.schedule.model.age_when_done(0.0, SURE_HIT)

    assert isinstance(dispatch.next(sure_at - 8.0), Send)
    assert dispatch.next(sure_at) == Look(3)
    assert isinstance(dispatch.next(sure_at + 1.0), Send)


def test_a_spare_request_looks() -> None:
    """If no submit may leave, a look that is worth its price does, long before it is a sure hit."""
    dispatch = dispatching(rate=1.0, slots=0, tickets=tickets(1))
    for key in range(4):
        dispatch.schedule.add(key, 0.0)
    for key in range(3):
        dispatch.schedule.discard(key)

    waited = dispatch.next(1.0)
    assert isinstance(waited, Wait)
    assert 1.0 < waited.until < 5.0
    assert dispatch.next(waited.until) == Look(3)


def test_after_a_refused_submit_a_look_tells_what_is_limited() -> None:
    """If it passes, the request rate is not; so it goes before the next submit."""
    queue = tickets(3)
    dispatch = dispatching(rate=1.0, tickets=queue)
    assert dispatch.next(0.0) == Send(queue[0])
    dispatch.accepted(queue[0], 0.1)
    dispatch.schedule.add(1, -60.0)
    dispatch.schedule.add(2, -60.0)
    for key in (1, 2):  # scouts have been looked at
        dispatch.schedule.take(0.1)
        dispatch.schedule.running(key, 0.1)
    assert dispatch.next(5.0) == Send(queue[1])
    dispatch.put_off(queue[1], LIMITED, now=5.1, jitter=0.0)

    assert isinstance(dispatch.next(7.0), Look)
    dispatch.looked(200, None, now=7.1, sent_at=7.0, jitter=0.0)
    assert dispatch.next(8.1) == Send(queue[2])
    assert dispatch.put_off(queue[2], LIMITED, now=8.2, jitter=0.0) is None
    assert (dispatch.slots.found, dispatch.pacer.paused_until) == (True, 5.475)


def test_a_click_goes_before_a_bulk_job() -> None:
    """And tenants take turns."""
    budget = Budget()
    bulk = [Ticket(25, budget, tenant="bulk") for _ in range(3)]
    other = Ticket(25, budget, tenant="other")
    click = Ticket(25, budget, tenant="web", interactive=True)
    dispatch = dispatching(tickets=[*bulk, other, click])

    assert decisions(dispatch, 0.0)[:5] == [Send(ticket) for ticket in (click, bulk[0], other, bulk[1], bulk[2])]


def test_tasks_that_never_finish_do_not_starve_submits() -> None:
    """Each of them may be done for long at any time, and all of them together want more looks than the rate has."""
    dispatch, now, submits, looks = dispatching(rate=2.0, slots=1000), 0.0, 0, 0
    for key in range(40):
        dispatch.schedule.add(key, 0.0)
        dispatch.schedule.take(10.0)
    for key in range(40):
        dispatch.schedule.running(key, 10.0)
    for ticket in tickets(1000):
        dispatch.ask(ticket)
    now = 10.0
    while now < 310.0:
        match dispatch.next(now):
            case Look(key):
                looks += 1
                dispatch.looked(200, None, now=now, sent_at=now, jitter=0.5)
                dispatch.schedule.running(key, now)
            case Send(ticket):
                submits += 1
                dispatch.accepted(ticket, now)
            case Wait(until):
                now = until

    assert min(submits, looks) >= 600 // (LOOKS_IN_A_ROW + 1)
