"""Settings under which a training takes a second."""

LIGHT = """
[data]
lookback = 8
horizons = [1, 5]
batch_rows = 1000
max_stocks = 16
[data.split]
valid = 0.1
test = 0.1
[data.source]
market = "tiny"
[model]
hidden = 4
variable_width = 2
fan_top_k = 1
san_slices = 2
[training]
max_epochs = 2
warmup_epochs = 0.25
clip_norm = 5.0
progress = false
tensorboard = false
"""
