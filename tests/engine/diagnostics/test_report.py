"""The report of an epoch, against the steps that made it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from searchjobs.engine.compose import compose
from searchjobs.engine.diagnostics.accuracy import supernet_accuracy
from searchjobs.engine.diagnostics.report import Probe, epoch_report
from searchjobs.engine.methods.darts import Darts
from searchjobs.engine.search import search
from searchjobs.engine.spaces.nas_bench_201.encoding import OPERATIONS
from searchjobs.engine.totals import EpochTotals, Totals

from ..conftest import epochs_of, tiny


def test_losses_accuracies_and_travel_are_those_of_the_steps(monkeypatch):
    """Watch every half-step of two epochs and add up by hand."""
    weights, architecture, moves, runs = [], [], [], []
    weight_step, architecture_step = Darts.weight_step, Darts.architecture_step

    def watch_weights(self, batch):
        result = weight_step(self, batch)
        weights.append((batch, result))
        return result

    def watch_alpha(self, batch, train):
        runs.append(self.search)
        before = self.alpha()["cell"].clone()
        result = architecture_step(self, batch, train)
        moves.append((self.alpha()["cell"] - before).abs().mean().item())
        architecture.append((batch, result))
        return result

    monkeypatch.setattr(Darts, "weight_step", watch_weights)
    monkeypatch.setattr(Darts, "architecture_step", watch_alpha)
    spec = tiny(training={"epochs": 2, "batch_size": 30}, selection={"name": "full"})
    reports = epochs_of(list(search(spec)))

    def hits(steps):
        return sum(int((r.logits.argmax(1) == b.labels).sum()) for b, r in steps)

    for number, report in enumerate(reports):
        mine = slice(4 * number, 4 * number + 4)
        losses = [len(b.ids) * r.loss.item() for b, r in weights[mine]]
        assert report.train_loss == pytest.approx(sum(losses) / 100, rel=1e-6)
        assert report.train_accuracy == hits(weights[mine]) / 100
        assert report.search_valid_accuracy == hits(architecture[mine]) / 100
        travelled = sum(moves[: mine.stop])
        assert report.alpha_travel == pytest.approx(travelled, rel=1e-5)
        assert (report.weight_steps, report.architecture_steps) == (4, 4)
    last, run = reports[-1], runs[-1]
    assert last.alpha["cell"] == run.method.alpha()["cell"].tolist()
    assert last.learning_rates["architecture"] == 0.01
    # epoch 2 of 2 is the middle of the cosine
    assert last.learning_rates["weights"] == pytest.approx((0.025 + 0.001) / 2)
    assert math.isclose(
        last.discretisation_gap, last.valid_accuracy - last.inherited_accuracy
    )


def report_of(names: list[str]):
    """The report of a search that stands at alpha with these operations on top."""
    run = compose(tiny(selection={"name": "full"}))
    table = next(iter(run.method.tables.values()))
    with torch.no_grad():
        table.zero_()
        for row, name in enumerate(names):
            table[row, OPERATIONS.index(name)] = 1.0
    totals = Totals()
    totals.epoch = EpochTotals(run.device, 0, 0)
    totals.epoch.close()
    return run, epoch_report(run, 1, totals, Probe(run))


def test_a_collapsed_cell_is_counted_in_all_its_parameter_free_operations():
    names = ["skip_connect"] * 4 + ["avg_pool_3x3", "none"]
    run, report = report_of(names)
    assert run.space.decode(report.genotype)["cell"] == tuple(names)
    assert (report.skips, report.nones, report.parameter_free) == (4, 1, 6)
    assert report.connected
    top = math.e / (math.e + 4)
    assert report.magnitudes["skip_connect"] == pytest.approx(
        (4 * top + 2 * (1 - top) / 4) / 6
    )
    assert report.margins["cell"] == pytest.approx([top - (1 - top) / 4] * 6, abs=1e-6)


def test_a_cell_without_a_path_is_told_and_the_one_without_none_stands_beside_it():
    names = ["nor_conv_3x3", "none", "nor_conv_1x1", "none", "none", "none"]
    run, report = report_of(names)
    assert not report.connected
    assert (report.skips, report.nones, report.parameter_free) == (0, 4, 4)
    assert run.space.connected(report.genotype_without_none)


def test_the_validation_figures_are_the_supernets_on_the_probe():
    run, report = report_of(["nor_conv_3x3"] * 6)
    probe = Probe(run)
    weights = run.method.strengths()
    before = {name: value.clone() for name, value in run.supernet.named_buffers()}
    supernet_accuracy(run, probe.batches)
    for name, value in run.supernet.named_buffers():
        assert torch.equal(value, before[name]), name
    run.supernet.train()
    with torch.no_grad():
        outputs = [run.supernet(b.images, weights) for b in probe.batches]
    labels = torch.cat([b.labels for b in probe.batches])
    logits = torch.cat(outputs)
    loss = cross_entropy(logits, labels).item()
    assert report.valid_loss == pytest.approx(loss, rel=1e-5)
    assert report.valid_accuracy == pytest.approx(
        (logits.argmax(1) == labels).float().mean().item()
    )
    assert len(labels) == 50
