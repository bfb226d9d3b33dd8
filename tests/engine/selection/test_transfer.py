"""TL: a head on given ImageNet weights, and an honest label where there are none."""

from __future__ import annotations

import copy

import pytest
import torch
from torchvision.models import resnet18

from searchjobs.engine.problems import SearchError, SpecError
from searchjobs.engine.selection.transfer import (
    TransferLoss,
    TransferOptions,
    imagenet_body,
)
from searchjobs.engine.subset import make_subset
from searchjobs.engine.subset_spec import subset_spec_of

from ..conftest import tiny
from ..counted import counted
from .pools import digits, drained, pool_of, scores_of, scoring_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The file of a ResNet-18, with random weights for want of trained ones."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(resnet18().state_dict(), path)
    return path


def test_the_body_is_torchvisions_without_its_classifier(weights):
    images = torch.rand(2, 3, 32, 32)
    whole = resnet18()
    whole.load_state_dict(torch.load(weights, weights_only=True))
    whole.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = whole.eval()(images)
        assert torch.equal(imagenet_body(weights).eval()(images), expected)


@pytest.mark.parametrize("side", [16, 33])
def test_a_pass_of_the_body_has_the_multiply_adds_that_pytorch_counts(weights, side):
    body = imagenet_body(weights).eval()
    found = TransferLoss.multiply_adds(TransferOptions(weights="given"), 10, side)
    assert found == counted(lambda: body(torch.zeros(1, 3, side, side)))


def test_mislabelled_images_leave_first(weights):
    images = digits(40)
    planted = list(range(0, 400, 40))
    images.labels[planted] = (images.labels[planted] + 5) % 10
    found = scores_of(
        "transfer",
        pool_of(images),
        weights=str(weights),
        epochs=40,
        head_learning_rate=0.01,
    ).values
    first = set(found.argsort(descending=True)[:20].tolist())
    assert len(first & set(planted)) >= 7


@pytest.mark.parametrize("compat", [False, True])
def test_it_goes_on_from_an_epoch_as_if_nothing_had_happened(weights, compat):
    images = digits(6)
    options = {"weights": str(weights), "compat": compat, "epochs": 3}
    options |= {"head_batch_size": 16}
    whole = scores_of("transfer", pool_of(images), **options)
    pool = pool_of(images)
    scoring = scoring_of("transfer", pool, **options)
    snapshot = next(item for item in scoring if getattr(item, "step", 0) == 2)
    held, streams = copy.deepcopy(snapshot.state), pool.streams.state_dict()
    later = pool_of(images)
    later.streams.load_state_dict(streams)
    again, _ = drained(scoring_of("transfer", later, held, **options))
    assert torch.equal(again.values, whole.values)


def test_the_networks_norms_adapt_in_compat_alone(weights):
    held = torch.load(weights, weights_only=True)["layer4.1.bn2.running_mean"]
    pool = pool_of(digits(6))
    options = {"weights": str(weights), "epochs": 1, "head_batch_size": 30}
    _, (adapting,) = drained(scoring_of("transfer", pool, compat=True, **options))
    state = adapting.state["network"]
    assert not torch.equal(state["0.layer4.1.bn2.running_mean"], held)
    _, (fixed,) = drained(scoring_of("transfer", pool_of(digits(6)), **options))
    assert not any("layer" in name for name in fixed.state["network"])


def test_without_weights_the_scores_say_that_nothing_was_transferred(tmp_path):
    selection = {"name": "transfer", "epochs": 1, "channels": 2}
    spec = subset_spec_of(tiny(selection=selection), whole=False)
    pruned = next(e for e in make_subset(spec, tmp_path) if e.type == "samples_pruned")
    assert pruned.score.endswith("no transfer")


def test_costs_count_the_forwards_of_the_network():
    cost = TransferLoss.scoring_cost
    options = TransferLoss.Options(weights="x.pth", epochs=50)
    assert cost(options, 100) == 100  # fixed features are computed once
    assert cost(options.model_copy(update={"compat": True}), 100) == 100 * 51
    assert cost(TransferLoss.Options(epochs=50), 100) == 100 * 151


def test_a_file_that_is_not_there_is_told_at_its_field():
    with pytest.raises(SpecError) as refused:
        tiny(selection={"name": "transfer", "weights": "/nowhere/resnet18.pth"})
    (problem,) = refused.value.problems
    assert problem.field == "selection.weights"


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, [1, 2], "text"])
def test_a_file_of_something_else_is_told_in_a_sentence(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(SearchError, match=r"other\.pth does not hold the weights"):
        imagenet_body(path)


def test_nothing_in_a_file_is_run(tmp_path):
    path = tmp_path / "code.pth"
    torch.save({"weights": print}, path)
    with pytest.raises(SearchError, match="does not hold the weights"):
        imagenet_body(path)
