"""The restricted unpickler: numbers and text pass, everything else is refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from searchjobs.benchmark_import.restricted_unpickler import restricted_loads


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_objects_come_back_as_they_were(protocol):
    content = {
        "meta_archs": ["|a~0|"],
        "seeds": {777, 888},
        ("cifar10", 777): OrderedDict([(0, 1.5), (1, None)]),
    }
    assert restricted_loads(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("module", ["numpy._core", "numpy.core"], ids=["2", "1"])
@pytest.mark.parametrize(
    "value",
    [np.float64(0.802426), np.float32(0.5), np.int64(-3), np.bool_(True)],
    ids=lambda value: value.dtype.name,
)
def test_numbers_of_numpy_come_back_as_plain_numbers(value, module):
    # Protocol 3 writes names as lines, so that another numpy's name can be put in.
    data = pickle.dumps(value, 3).replace(b"numpy._core", module.encode())
    found = restricted_loads(data)
    assert found == value.item()
    assert type(found) is type(value.item())


def test_big_endian_numbers_are_read_the_right_way_round():
    value = np.array([1.25], dtype=">f8")
    data = pickle.dumps((value.dtype, value.tobytes()), 4)
    kind, raw = restricted_loads(data)
    assert np.frombuffer(raw, kind.dtype)[0] == 1.25


@pytest.mark.parametrize(
    "harmful",
    [os.system, eval, pickle.loads, getattr, np.load, np.frombuffer, np.ndarray],
    ids=lambda harmful: harmful.__name__,
)
def test_every_other_name_is_refused(harmful):
    with pytest.raises(pickle.UnpicklingError, match="is not allowed"):
        restricted_loads(pickle.dumps(harmful, 4))


def test_arrays_of_objects_and_structures_are_refused():
    for kind in (np.dtype("O"), np.dtype("V8"), np.dtype([("a", "f8")])):
        with pytest.raises(pickle.UnpicklingError):
            restricted_loads(pickle.dumps(kind, 4))


def test_every_cut_off_pickle_is_a_plain_error():
    data = pickle.dumps({"a": [np.float64(1.0)] * 3, "b": OrderedDict(c=1)}, 4)
    for length in range(len(data)):
        with pytest.raises(pickle.UnpicklingError):
            restricted_loads(data[:length])
