"""PatchTST puts out what Hugging Face's does, weights being the same."""

import pytest
import torch

from flatline.models import PatchTST, PatchTSTSettings

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

HIDDEN, HEADS, INNER, DEPTH, LOOKBACK, FEATURES, TARGETS = 16, 4, 24, 3, 23, 6, 4
# In double precision: the same sums in another order, through three layers.
CLOSE = {"atol": 1e-9, "rtol": 1e-9}


def peer(kind, norm, pre_norm, pooling, patch):
    """Their model, with every parameter and running statistic away from where it starts."""
    torch.manual_seed(0)
    length, stride = patch
    model = getattr(transformers, f"PatchTSTFor{kind}")(
        transformers.PatchTSTConfig(
            num_input_channels=FEATURES,
            context_length=LOOKBACK,
            patch_length=length,
            patch_stride=stride,
            num_hidden_layers=DEPTH,
            d_model=HIDDEN,
            num_attention_heads=HEADS,
            ffn_dim=INNER,
            norm_type=f"{norm}norm",
            pre_norm=pre_norm,
            pooling_type=pooling,
            positional_encoding_type="random",
            scaling=None,
            num_targets=TARGETS,
            prediction_length=TARGETS,
        )
    )
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand_like(tensor))
            elif tensor.is_floating_point():
                tensor.add_(0.3 * torch.randn_like(tensor))
    return model.double()


def ours(norm, pre_norm, pooling, patch, task="regression"):
    """Our model at their sizes."""
    settings = PatchTSTSettings(
        task=task,
        hidden=HIDDEN,
        depth=DEPTH,
        attention_heads=HEADS,
        feed_forward=INNER,
        patch_length=patch[0],
        stride=patch[1],
        norm=norm,
        pre_norm=pre_norm,
        pooling=pooling,
    )
    return PatchTST(
        settings,
        features=FEATURES,
        static=0,
        edge_attributes=0,
        lookback=LOOKBACK,
        horizons=tuple(range(1, TARGETS + 1)),
        levels=(),
    ).double()


def encoder_weights(theirs, layers):
    """Their encoder under our names.

    Their bias of the keys has no effect, and that of the values acts as one of the output.
    """
    found = {
        "patches.content.weight": theirs["encoder.embedder.input_embedding.weight"],
        "patches.content.bias": theirs["encoder.embedder.input_embedding.bias"],
        "patches.position": theirs["encoder.positional_encoder.position_enc"],
    }
    for i in range(layers):
        there, here = f"encoder.layers.{i}.", f"transformer.layers.{i}."
        taken = {k.removeprefix(there): v for k, v in theirs.items() if k.startswith(there)}
        attention = {
            "query.weight": taken["self_attn.q_proj.weight"],
            "query.bias": taken["self_attn.q_proj.bias"],
            "key.weight": taken["self_attn.k_proj.weight"],
            "value.weight": taken["self_attn.v_proj.weight"],
            "out.weight": taken["self_attn.out_proj.weight"],
            "out.bias": taken["self_attn.out_proj.weight"] @ taken["self_attn.v_proj.bias"]
            + taken["self_attn.out_proj.bias"],
        }
        found |= {f"{here}attention.{k}": v for k, v in attention.items()}
        for part, index in (("inner", 0), ("outer", 3)):
            for kind in ("weight", "bias"):
                found[f"{here}{part}.{kind}"] = taken[f"ff.{index}.{kind}"]
        for name, place in (("attention_norm", 1), ("feed_forward_norm", 3)):
            norm = f"norm_sublayer{place}."
            for key, value in taken.items():
                if key.startswith(norm):
                    key_here = key.removeprefix(norm).replace("batchnorm", "norm")
                    found[f"{here}{name}.{key_here}"] = value
    return found


def carry_over(theirs, model, head):
    """Their weights in our model; *head* is (targets, width) and its bias, (targets,)."""
    taken = {k.removeprefix("model."): v for k, v in theirs.state_dict().items()}
    weights = {f"encoder.{k}": v for k, v in encoder_weights(taken, DEPTH).items()}
    for target in range(TARGETS):
        there = f"head.horizons.{target + 1}."
        weights |= {
            f"{there}linear.weight": head[0][target : target + 1],
            f"{there}scale.factor": torch.tensor(1.0, dtype=torch.float64),
            f"{there}bias": head[1][target : target + 1],
        }
    model.load_state_dict(weights)


def batch_and_values(rows=7):
    """A batch of ours, and the same windows as they take them."""
    values = torch.randn(rows, LOOKBACK, FEATURES, generator=torch.Generator().manual_seed(1))
    values = values.double()
    ids = torch.arange(rows)
    return {"features": values, "group_day": 0 * ids, "stock_id": ids}, values


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("patch", [(11, 4), (2, 1)], ids=str)
@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre", "post"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("kind", ["Regression", "Classification"])
def test_pooled_heads_put_out_the_same(kind, norm, pre_norm, pooling, patch, training):
    """Points and logits, in eval mode and in training, where batch norm mixes the rows."""
    theirs = peer(kind, norm, pre_norm, pooling, patch).train(training)
    model = ours(norm, pre_norm, pooling, patch, task=kind.lower()).train(training)
    last = theirs.head.projection if kind == "Regression" else theirs.head.linear
    carry_over(theirs, model, (last.weight, last.bias))
    batch, values = batch_and_values()
    found = theirs(past_values=values)
    expected = found.regression_outputs if kind == "Regression" else found.prediction_logits
    torch.testing.assert_close(model(batch).point, expected, **CLOSE)


@pytest.mark.parametrize("channel", range(FEATURES))
@pytest.mark.parametrize(("norm", "pre_norm"), [("batch", False), ("layer", True)])
def test_flattened_heads_put_out_the_same(norm, pre_norm, channel):
    """Theirs forecasts each feature from its own patches; ours, with a head that reads one."""
    patch = (5, 3)
    theirs = peer("Prediction", norm, pre_norm, None, patch).eval()
    model = ours(norm, pre_norm, "flatten", patch).eval()
    width = theirs.head.projection.in_features
    weight = torch.zeros(TARGETS, FEATURES, width)
    weight[:, channel] = theirs.head.projection.weight.detach()
    carry_over(theirs, model, (weight.flatten(1), theirs.head.projection.bias))
    batch, values = batch_and_values()
    expected = theirs(past_values=values).prediction_outputs[..., channel]
    torch.testing.assert_close(model(batch).point, expected, **CLOSE)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_gradients_at_the_windows_are_the_same(norm):
    """So a step of training is, and not only a forecast."""
    theirs = peer("Regression", norm, True, "mean", (5, 3)).train()
    model = ours(norm, True, "mean", (5, 3)).train()
    carry_over(theirs, model, (theirs.head.projection.weight, theirs.head.projection.bias))
    batch, values = batch_and_values()
    grads = []
    for run in (
        lambda x: theirs(past_values=x).regression_outputs,
        lambda x: model(dict(batch, features=x)).point,
    ):
        x = values.clone().requires_grad_()
        run(x).square().sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[1], grads[0], **CLOSE)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_attention_weights_are_the_same(norm):
    """Of every layer, though ours share calls of the kernel."""
    theirs = peer("Regression", norm, False, "mean", (5, 3)).eval()
    theirs.set_attn_implementation("eager")
    model = ours(norm, False, "mean", (5, 3)).eval()
    carry_over(theirs, model, (theirs.head.projection.weight, theirs.head.projection.bias))
    batch, values = batch_and_values()
    expected = theirs(past_values=values, output_attentions=True).attentions
    seen = []
    for layer in model.encoder.transformer.layers:
        layer.attention.register_forward_pre_hook(lambda part, x: seen.append(part.weights(x[0])))
    model(batch)
    for found, there in zip(seen, expected, strict=True):
        torch.testing.assert_close(found, there, **CLOSE)


def test_a_norm_that_is_ignored_would_be_seen():
    """The comparison can fail: with the other norm, or the norm elsewhere, outputs differ."""
    theirs = peer("Regression", "layer", True, "mean", (5, 3)).eval()
    model = ours("layer", False, "mean", (5, 3)).eval()
    carry_over(theirs, model, (theirs.head.projection.weight, theirs.head.projection.bias))
    batch, values = batch_and_values()
    expected = theirs(past_values=values).regression_outputs
    assert (model(batch).point - expected).abs().max() > 0.1
