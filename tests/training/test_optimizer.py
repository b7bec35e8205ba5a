"""Every trainable parameter moves, and decay stays where it has a meaning."""

import re

import pytest
import torch
from torch import nn

from flatline.errors import SettingsError
from flatline.training import TrainingSettings, check_optimizer, fit, make_optimizer
from flatline.training.optimizer import undecayed
from training.toy import Toy, ToyLoss, make_batches


def test_every_trainable_parameter_is_in_it_once():
    """The groups hold all parameters, none twice, and no frozen one."""
    model = Toy()
    model.gat.requires_grad_(requires_grad=False)
    groups = make_optimizer(model, TrainingSettings()).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_norms_biases_and_gates_do_not_decay():
    """Decay is for weights of maps alone, also where a bias is a matrix."""
    model = Toy()
    model.wide_bias = nn.Parameter(torch.zeros(3, 4))
    groups = make_optimizer(model, TrainingSettings(weight_decay=0.3)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    names = {name for name, p in model.named_parameters() if decay[id(p)] == 0}
    assert names == undecayed(model) >= {"gate", "wide_bias", "encoder.1.weight", "gat.bias"}
    assert {decay[id(p)] for n, p in model.named_parameters() if n not in names} == {0.3}


def test_a_parameter_left_out_is_an_error():
    """A parameter made after the optimizer would never move: it is named."""
    model = Toy()
    optimizer = make_optimizer(model, TrainingSettings())
    model.late = nn.Linear(2, 2)
    message = (
        "2 trainable parameters are not in the optimizer, late.weight among them, expected all "
        "of them. Build the optimizer after the last parameter is made or unfrozen."
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        check_optimizer(model, optimizer)


def test_a_parameter_unfrozen_in_training_is_an_error():
    """Unfreezing a part in mid-training without telling the optimizer is noticed."""

    class Unfreezes(Toy):
        def forward(self, batch):
            self.gat.requires_grad_(requires_grad=True)
            return super().forward(batch)

    model = Unfreezes()
    model.gat.requires_grad_(requires_grad=False)
    settings = TrainingSettings(max_epochs=2, progress=False, tensorboard=False)
    with pytest.raises(SettingsError, match=r"gat\.weight among them"):
        fit(model, ToyLoss(), make_batches(2), None, settings, run_dir=None)


def test_nothing_to_train_is_an_error():
    """A model that is frozen whole is refused."""
    with pytest.raises(SettingsError, match="0 trainable parameters"):
        make_optimizer(Toy().requires_grad_(requires_grad=False), TrainingSettings())


def test_a_parameter_without_size_is_an_error():
    """A lazy layer must have seen a batch first."""
    with pytest.raises(SettingsError, match=r"0\.weight has no size yet"):
        make_optimizer(nn.Sequential(nn.LazyLinear(2)), TrainingSettings())
