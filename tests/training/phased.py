"""A training in three phases that kills itself: `python phased.py FOLDER STEP`, paths set."""

import os
import signal
import sys

import torch
from torch import nn

from flatline.training import PhaseSettings, fit, run_folder, seed_all
from training.toy import Shuffled, Toy, ToyLoss, make_batches
from training.victim import ONE_ID, SETTINGS, Killer

# 6 steps an epoch: phases end after 12, 18 and 30 steps.
PHASES = (
    PhaseSettings(name="baseline", off=("graph",), max_epochs=2, ema_decay=0.5),
    PhaseSettings(
        name="graph, alone", train=("gat", "fusion"), rates={"fusion": 0.5}, max_epochs=1
    ),
    PhaseSettings(name="all", learning_rate=0.01, max_epochs=2),
)
PHASED = SETTINGS.changed(phases=PHASES, log_every_n_steps=1, checkpoint_every_n_steps=4)


class Parted(Toy):
    """The toy with a graph that can be switched off, and a batch norm in its encoder."""

    parts = {"graph": ("gat", "gate")}  # noqa: RUF012 - as a model's property gives it

    def __init__(self):
        super().__init__()
        self.off = frozenset()
        self.encoder.append(nn.BatchNorm1d(8))

    def forward(self, batch):
        """A batch to a forecast."""
        x = self.encoder(batch["features"].flatten(1))
        heard = torch.sigmoid(self.gate) * self.gat(x) if "graph" not in self.off else 0 * x
        return self.head(torch.tanh(self.fusion(torch.cat([x, heard], -1))))


class KillerOf(Killer):
    """Acts before a step counted from the start of the run."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Act before the step after this one."""
        if trainer.logger._before.steps + trainer.global_step == self.step:
            self.act()


def fresh():
    """The model that every run starts with."""
    seed_all(3)
    return Parted()


def train(folder, *, resume=False, callbacks=(), settings=PHASED, model=None):
    """The one training that all runs of the test repeat."""
    return fit(
        model or fresh(),
        ToyLoss(),
        Shuffled(make_batches()),
        make_batches(4, first_day=100, seed=1),
        settings,
        run_dir=folder,
        resume=resume,
        callbacks=callbacks,
    )


if __name__ == "__main__":
    # The run that it is compared with has the same.
    run_folder._new_id = lambda now: ONE_ID
    train(
        sys.argv[1],
        callbacks=[KillerOf(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))],
    )
