"""A training that kills itself: `python victim.py FOLDER STEP`, src and tests on the path."""

import os
import signal
import sys

from lightning.pytorch.callbacks import Callback

from flatline.training import TrainingSettings, fit, run_folder, seed_all
from training.toy import Shuffled, Toy, ToyLoss, make_batches

SETTINGS = TrainingSettings(
    max_epochs=5,
    learning_rate=0.1,
    warmup_epochs=0,
    schedule="plateau",
    plateau_patience=1,
    log_every_n_steps=1,
    checkpoint_every_n_steps=2,
    progress=False,
    tensorboard=False,
    seed=3,
)


ONE_ID = "the-one-run"


class Killer(Callback):
    """Ends the process at once after a step, as `kill -9` does."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Act before the step after this one."""
        if trainer.global_step == self.step:
            self.act()


def train(folder, *, resume=False, callbacks=(), settings=SETTINGS, model=None):
    """The one training that all runs of the test repeat."""
    seed_all(3)
    return fit(
        model or Toy(),
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
        callbacks=[Killer(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))],
    )
