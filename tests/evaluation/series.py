"""Settings of a single series under which a training takes a second."""

from flatline.settings import load_settings

SERIES = """
[data]
lookback = 10
horizons = [1, 5]
levels = []
normaliser = "zscore"
target = "raw"
batch_rows = 256
[data.series]
features = "level"
[data.graph]
enabled = false
[data.source]
market = "tiny"
[model]
name = "patchtst"
task = "classification"
hidden = 8
depth = 2
attention_heads = 2
feed_forward = 16
[loss]
bce_threshold = 0.01
[loss.weights]
bce = 1.0
[training]
learning_rate = 5e-3
max_epochs = 2
progress = false
tensorboard = false
"""


def series_settings(folder, *overrides):
    """These settings, with some changed."""
    file = folder / "series.toml"
    file.write_text(SERIES)
    return load_settings(file, environ={}, overrides=overrides)
