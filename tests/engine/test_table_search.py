"""Searches on a table against the same search written as a plain loop."""

from __future__ import annotations

import dataclasses
import json
import signal

import numpy as np
import pytest

from searchjobs.engine import benchmark_table, checkpoint, places
from searchjobs.engine.contracts import Repeats, TableMethod, methods, spaces
from searchjobs.engine.plan import plan
from searchjobs.engine.problems import SearchError, SpecError
from searchjobs.engine.seeding import Streams
from searchjobs.engine.spec import SearchSpec
from searchjobs.engine.table_search import search_table
from searchjobs.engine.validation import validate

from .conftest import epochs_of, without_clock
from .made_up_table import made_up_table, write_table

NAMES = [part.name for part in methods.all() if issubclass(part, TableMethod)]


def spec_of(name="random-search", **options):
    given = {"repeats": 7, "points": 8, "budget": 2500.0, **options}
    return SearchSpec.model_validate({"method": {"name": name, **given}})


def run(spec, *, table=None, **more):
    return list(search_table(spec, table=table or made_up_table(), **more))


def told(events):
    kept = {"epoch_finished", "finished"}
    return [without_clock(event) for event in events if event.type in kept]


def plainly(spec, point):
    """Random search, one repeat after the other: picks, look-ups and seconds."""
    table, options = made_up_table(), spec.method
    space = spaces.get("nas-bench-201")(spec.space)
    repeats = Repeats(options.repeats, space, Streams(spec.seed))
    proposals = [repeats.random_choices("proposals") for _ in range(60)]
    index = {tuple(choice): row for row, choice in enumerate(table.choices.tolist())}
    epoch = table.columns["train_time_s"] / 200
    found = []
    for repeat in range(options.repeats):
        spent, best, pick, count, over = 0.0, -1.0, None, 0, None
        for proposal in proposals:
            row = index[tuple(proposal[repeat].tolist())]
            price = 12 * epoch[row] + 0.4 * epoch[row]
            if spent + price > options.budget:
                over = spent + price
                break
            spent += price
            if spent > point:
                continue
            count += 1
            accuracy = table.columns["cifar10_valid_e12"][row]
            if accuracy > best:
                best, pick = accuracy, row
        assert over is not None, "sixty proposals were enough"
        found.append((pick, best, count))
    return found


@pytest.mark.parametrize("number", [3, 5, 8])
def test_time_is_kept_as_by_a_plain_loop_and_the_last_evaluation_is_discarded(number):
    spec = spec_of()
    report = epochs_of(run(spec))[number - 1]
    point = spec.method.budget * number / spec.method.points
    assert report.repeats.seconds == pytest.approx(point)
    wanted = plainly(spec, point)
    table = made_up_table()
    assert report.repeats.evaluations == np.mean([count for _, _, count in wanted])
    assert report.repeats.signal.mean == pytest.approx(
        np.mean([b for _, b, _ in wanted])
    )
    picks = [pick for pick, _, _ in wanted]
    for dataset, splits in report.repeats.accuracies.items():
        for split, spread in splits.items():
            values = table.columns[f"{dataset}_{split}"][picks]
            assert spread.mean == pytest.approx(values.mean())
            assert spread.std == pytest.approx(values.std(ddof=1))
    assert sum(report.repeats.histogram_counts) == len(picks)
    counts = {table.encodings[row]: picks.count(row) for row in picks}
    assert dict(report.repeats.top) == counts
    cell = table.choices[picks]
    for edge, shares in enumerate(report.strengths["cell"]):
        assert shares == pytest.approx(
            [(cell[:, edge] == operation).mean() for operation in range(5)]
        )


@pytest.mark.parametrize("name", NAMES)
def test_no_repeat_spends_more_than_its_budget_or_stops_before_it_must(name):
    """Seven repeats' last report holds all that their budget pays."""
    events = run(spec_of(name))
    report = epochs_of(events)[-1]
    table = made_up_table()
    cheapest, dearest = (
        12.4 * f(table.columns["train_time_s"]) / 200 for f in (min, max)
    )
    assert 2500 / dearest - 1 < report.repeats.evaluations <= 2500 / cheapest


@pytest.mark.parametrize("name", NAMES)
def test_it_tells_what_every_search_tells(name):
    events = run(spec_of(name))
    assert [event.epoch for event in epochs_of(events)] == list(range(1, 9))
    started, finished = events[0], events[-1]
    assert started.type == "started"
    assert started.weight_count == 0
    assert started.plan == plan(spec_of(name))
    assert started.plan.table.repeats == 7
    assert finished.type == "finished"
    assert finished.cost_units == 0
    assert finished.architectures[0].architecture == epochs_of(events)[-1].genotype
    for report in epochs_of(events):
        assert report.cost_units == 0
        assert report.weight_steps == report.architecture_steps == 0
        assert report.learning_rates == {}


@pytest.mark.parametrize("name", NAMES)
def test_seeds_reproduce_and_differ(name):
    spec = spec_of(name)
    assert told(run(spec)) == told(run(spec))
    assert told(run(spec)) != told(run(spec.with_seed(2)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_it_resumes_bit_identically(name, stop, tmp_path):
    spec = spec_of(name)
    first = []
    for event in search_table(spec, tmp_path, table=made_up_table()):
        first.append(event)
        if event.type == "checkpointed" and event.epoch == stop:
            break
    rest = run(spec, out=tmp_path, resume=True)
    assert rest[0].epoch == stop
    assert told(first) + told(rest) == told(run(spec))


def test_a_checkpoint_of_another_table_is_refused(tmp_path):
    spec = spec_of()
    run(spec, out=tmp_path)
    other = dataclasses.replace(made_up_table(), fingerprint="another")
    with pytest.raises(SearchError, match="table has changed"):
        run(spec, table=other, out=tmp_path, resume=True)
    with pytest.raises(SearchError, match="belongs to another spec"):
        run(spec_of(points=9), out=tmp_path, resume=True)


def test_a_checkpoint_does_not_grow_with_the_search(tmp_path):
    spec = spec_of(points=40, budget=40_000.0)
    sizes = [e.bytes for e in run(spec, out=tmp_path) if e.type == "checkpointed"]
    assert max(sizes[20:]) < 1.5 * max(sizes[:10])
    assert checkpoint.load_newest(tmp_path)["epoch"] == 40


def test_the_resolution_of_the_report_changes_no_result():
    coarse, fine = (run(spec_of("evolution", points=n))[-1] for n in (1, 50))
    assert coarse.architectures[0].architecture == fine.architectures[0].architecture
    assert len(coarse.architectures) == len(fine.architectures)


def test_the_accuracy_of_one_trial_is_drawn_each_as_likely():
    table = made_up_table()
    mean = table.columns["cifar10_valid_e12"]
    columns = {
        **table.columns,
        "cifar10_valid_e12_seed1": np.full_like(mean, 40.0),
        "cifar10_valid_e12_seed2": np.full_like(mean, 42.0),
        "cifar10_valid_e12_seed3": np.full_like(mean, np.nan),
    }
    seeds = dataclasses.replace(table, columns=columns)
    # A price that pays one evaluation: the pick is the one trial that was seen.
    one = spec_of(repeats=4000, budget=130.0, points=1)
    signal = epochs_of(run(one, table=seeds))[-1].repeats.signal
    assert signal.mean == pytest.approx(41.0, abs=0.1)
    assert signal.std == pytest.approx(1.0, abs=0.02)


def test_operations_that_the_space_leaves_out_are_never_proposed():
    spec = SearchSpec.model_validate(
        {
            "space": {"name": "nas-bench-201", "without": ["none", "avg_pool_3x3"]},
            "method": {"name": "random-search", "repeats": 40, "budget": 600.0},
        }
    )
    for report in epochs_of(run(spec)):
        for row in report.strengths["cell"]:
            assert row[0] == row[4] == 0


def test_a_budget_that_pays_nothing_is_told_in_a_sentence():
    with pytest.raises(SearchError, match="does not pay the training of a single"):
        run(spec_of(budget=10.0))


def test_before_the_first_evaluation_ends_there_is_no_architecture():
    first = epochs_of(run(spec_of(points=100)))[0]
    assert first.repeats is None
    assert first.genotype == ""
    assert not first.connected


@pytest.mark.parametrize("dataset", ["cifar100", "imagenet16"])
def test_the_budgets_of_nats_bench_belong_to_the_data_set(dataset):
    spec = spec_of(budget=None, dataset=dataset, repeats=2)
    wanted = {"cifar100": 40_000, "imagenet16": 120_000}[dataset]
    assert epochs_of(run(spec))[-1].repeats.seconds == wanted


# The spec and the command line ----------------------------------------------------


@pytest.fixture
def table_file(tmp_path, monkeypatch):
    monkeypatch.setenv("NASWEB_DATA_ROOT", str(tmp_path))
    monkeypatch.setattr(benchmark_table, "table_providers", [])
    return write_table(places.table_path("nas-bench-201"))


def problems_of(**data):
    try:
        validate({"method": {"name": "evolution"}, **data})
    except SpecError as error:
        return {problem.field: problem.sentence for problem in error.problems}
    return {}


def test_what_needs_a_supernet_is_refused_in_a_sentence_each(table_file):
    assert problems_of() == {}
    found = problems_of(
        selection={"name": "bdp"},
        stopping=[{"name": "none"}],
        compute={"devices": 2},
    )
    assert set(found) == {"selection", "stopping", "compute.devices"}
    assert "choose full" in found["selection"]
    assert "remove the rules" in found["stopping"]


def test_without_the_table_validation_says_how_to_import_it(table_file):
    table_file.unlink()
    assert "import it with" in problems_of()["space"]


def test_a_sample_larger_than_the_population_is_refused():
    found = problems_of(method={"name": "evolution", "population": 5, "sample": 6})
    assert "draw fewer" in found["method.sample"]


def test_the_plan_trains_nothing_and_the_method_takes_the_cpu(table_file):
    found = plan(validate({"method": {"name": "bohb"}}))
    assert sum(found.weight_steps) == sum(found.architecture_steps) == 0
    assert found.cost_units == 0
    assert found.table.budget == 12_000
    assert found.epochs == 60
    assert validate({"method": {"name": "bohb"}}).compute.device == "cpu"


def test_the_command_runs_it_like_any_search(table_file, tmp_path, capsys, monkeypatch):
    from searchjobs.engine.__main__ import main

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # it is not our process
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({"method": {"name": "reinforce", "repeats": 3}}))
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert lines[-1]["type"] == "finished"
    assert sum(line["type"] == "epoch_finished" for line in lines) == 60
    assert told.err.startswith("started: 3 searches on the benchmark table, cifar10, ")
    assert main(["plan", str(path)]) == 0
    assert "nothing is trained" in capsys.readouterr().out
