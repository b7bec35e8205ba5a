"""Each way a signal can take through the model is found; the graph's is lost without its branch."""

import pytest

from flatline.data.market import Signals, make_market
from flatline.evaluation import experiment
from flatline.harness import Status, examine
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, subject_of

# So much stronger than the market's own that a few hundred steps are enough.
STRENGTH = 3.0
STEPS = 250


def skill(monkeypatch, signal, *overrides, strength=STRENGTH):
    """The verdict on skill after a short training with one strong signal alone."""

    def strong(size, *, seed, signals):
        louder = {name: strength * getattr(signals, name) for name in signals.__dataclass_fields__}
        return make_market(size, seed=seed, signals=Signals(**louder))

    monkeypatch.setattr(experiment, "make_market", strong)
    alone = f'data.source.signals=["{signal}"]'
    settings = load_settings(
        GATE_SETTINGS["atft_gat_fan"], environ={}, overrides=[alone, *overrides]
    )
    subject = subject_of(experiment.assemble(settings), name=signal)
    verdicts = {v.check: v for v in examine(subject, steps=STEPS).verdicts}
    return verdicts["skill_against_oracle"]


@pytest.mark.degeneracy
@pytest.mark.parametrize("signal", ["newest", "pattern", "static"])
def test_each_pathway_alone_is_found(monkeypatch, signal):
    """The newest day, a past day, an attribute times a feature."""
    assert skill(monkeypatch, signal).status == Status.PASS


@pytest.mark.degeneracy
def test_the_graph_alone_is_found_and_lost_without_its_branch(monkeypatch):
    """Neighbours are heard through the graph branch; past returns alone tell little of them."""
    # Not louder: a strong drift could be read off the stock's own past returns.
    heard = skill(monkeypatch, "graph", strength=1.0)
    deaf = skill(monkeypatch, "graph", "model.bypass_gat=true", strength=1.0)
    assert heard.status == Status.PASS
    assert deaf.value < heard.value / 2
