"""Every term keeps the laws of any loss, and those that the table declares for it."""

from flatline.harness.laws import laws_for
from flatline.losses.blend import TERMS
from flatline.losses.laws import LAWS
from loss_cases import options_of, quantiles_around

# What a turnover is not: days without a stock in common trade everything, whatever the scores.
NO_SLOPE = {"nearly_constant_scores": "a portfolio that is all new has no slope"}


def laws(name):
    """The ready suite, with the promises of the table."""
    law = LAWS[name]
    return laws_for(
        TERMS[name],
        at_constant=law.at_constant,
        best=law.best,
        shift=law.shift,
        scale=law.scale,
        degree=law.degree,
        follows=law.follows,
        ranks=name == "rank_ic",
        options=options_of(name),
        skip=NO_SLOPE if law.follows else None,
        examples=8,
        **({"reads": quantiles_around} if law.reads == "quantiles" else {}),
    )


test_mse = laws("mse")
test_huber = laws("huber")
test_pinball = laws("pinball")
test_coverage = laws("coverage")
test_bce = laws("bce")
test_ic = laws("ic")
test_rank_ic = laws("rank_ic")
test_listnet = laws("listnet")
test_ranknet = laws("ranknet")
test_lambdarank = laws("lambdarank")
test_margin = laws("margin")
test_top_k = laws("top_k")
test_sharpe = laws("sharpe")
test_turnover = laws("turnover")
test_exposure = laws("exposure")
test_variance_floor = laws("variance_floor")
test_reciprocal_spread = laws("reciprocal_spread")


def test_every_term_declares_its_laws_and_is_judged():
    """The table, the blend and this file know the same terms."""
    assert set(LAWS) == set(TERMS)
    assert all(f"test_{name}" in globals() for name in LAWS)
