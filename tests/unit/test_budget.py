"""A lot at once, and little in the long run."""

from agent.budget import Budget


def spent(budget: Budget, tries: int, now: float) -> int:
    """How often something could be spent."""
    count = 0
    for _ in range(tries):
        if not budget.exhausted(now):
            budget.spend(now)
            count += 1
    return count


def test_so_much_at_once_and_so_much_a_second() -> None:
    budget = Budget(5, 2.0)
    assert spent(budget, 10, now=100.0) == 5
    assert spent(budget, 10, now=100.4) == 0
    assert spent(budget, 10, now=101.0) == 2
    assert spent(budget, 10, now=1_000.0) == 5, "what was not spent is not saved up for ever"


def test_spending_more_than_there_is_makes_no_debt() -> None:
    budget = Budget(1, 1.0)
    for _ in range(100):
        budget.spend(0.0)
    assert spent(budget, 2, now=1.0) == 1
