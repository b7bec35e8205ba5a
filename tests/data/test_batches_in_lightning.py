"""Day batches as the loader of a Lightning trainer, undisturbed and resumed."""

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from data_helpers import random_panel
from flatline.data.batches import DayBatches

PANEL = random_panel(40, 10, 3)


class Learner(lightning.LightningModule):
    """A linear map that remembers the days it was trained on."""

    def __init__(self):
        super().__init__()
        self.map = torch.nn.Linear(3, 2)
        self.seen = []

    def training_step(self, batch, index):
        """Squared error over the known labels."""
        inputs, labels = batch
        self.seen.append((self.current_epoch, inputs["group_day"].unique().tolist()))
        error = self.map(inputs["features"][:, -1]) - labels.value
        return torch.where(labels.known, error, 0.0).square().mean()

    def validation_step(self, batch, index):
        """Validation sees whole windows."""
        assert batch[0]["features"].shape[1:] == (3, 3)

    def configure_optimizers(self):
        """Plain descent, so that equal steps give equal weights."""
        return torch.optim.SGD(self.parameters(), 0.1)


def train(folder, *, ckpt_path=None, seed=0):
    """Two epochs of five batches; a checkpoint after every step."""
    torch.manual_seed(seed)
    learner = Learner()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)],
    )
    days = np.arange(5, 15)
    trained = DayBatches(PANEL, days, lookback=3, days_per_batch=2, shuffle=True)
    judged = DayBatches(PANEL, np.arange(30, 34), lookback=3)
    trainer.fit(learner, trained, judged, ckpt_path=ckpt_path)
    return learner


@pytest.mark.filterwarnings("ignore")
def test_training_resumes_at_the_very_batch(tmp_path):
    """From a checkpoint within or at the end of an epoch, days and weights are the undisturbed."""
    whole = train(tmp_path / "whole")
    assert [epoch for epoch, _ in whole.seen] == [0] * 5 + [1] * 5
    assert [days for _, days in whole.seen[:5]] != [days for _, days in whole.seen[5:]]
    for step in (3, 5, 6):
        start = tmp_path / "whole" / f"step={step}.ckpt"
        rest = train(tmp_path / f"from {step}", ckpt_path=start, seed=1)
        assert rest.seen == whole.seen[step:]
        assert torch.equal(rest.map.weight, whole.map.weight)
