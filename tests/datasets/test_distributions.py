"""Target distributions against scipy's and against what they are named after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundle.datasets.distributions import Distribution, Histogram, Mirror, Normal, Own, Sweep, Uniform, read_histogram
from bundle.errors import InputError
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

SHARES = (np.arange(4000) + 0.5) / 4000
EXAMPLES = [
    Uniform(-0.5, 2.5),
    Normal(1.2, 0.6, -0.5, 2.5),
    Histogram([0.0, 1.0, 1.5, 3.0], [2.0, 0.0, 5.0]),
    Sweep([0.4, -0.2, 1.7]),
]


@pytest.mark.parametrize("wanted", EXAMPLES, ids=lambda wanted: type(wanted).__name__)
def test_values_rise_with_their_share_and_the_sources_do_not_matter(wanted: Distribution) -> None:
    assert wanted.of_sources([0.3, 0.7]) is wanted
    if not isinstance(wanted, Sweep):
        assert (np.diff(wanted.quantile(SHARES)) >= 0).all()


def test_uniform_values_are_even_and_equal_ends_are_one_value() -> None:
    np.testing.assert_allclose(Uniform(-1.0, 3.0).quantile([0.0, 0.25, 0.5]), [-1.0, 0.0, 1.0])
    assert set(Uniform(0.7, 0.7).quantile(SHARES)) == {0.7}


def test_normal_values_are_normal_between_their_ends() -> None:
    values = Normal(1.0, 0.5, -9.0, 9.0).quantile(SHARES)
    assert stats.kstest(values, stats.norm(1.0, 0.5).cdf).statistic < 1e-3
    cut = Normal(1.0, 0.5, 0.8, 1.1).quantile(SHARES)
    assert 0.8 <= cut.min() < 0.801
    assert 1.099 < cut.max() <= 1.1


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    widths=st.lists(st.floats(0.1, 2.0), min_size=8, max_size=8),
)
def test_a_histogram_is_filled_as_it_says(counts: list[int], widths: list[float]) -> None:
    edges = np.concatenate([[-1.0], -1.0 + np.cumsum(widths[: len(counts)])])
    values = Histogram(edges.tolist(), [float(count) for count in counts]).quantile(SHARES)
    made = np.histogram(values, edges)[0] / len(SHARES)
    np.testing.assert_allclose(made, np.asarray(counts) / sum(counts), atol=2 / len(SHARES))


def test_sources_and_their_mirror_fill_the_range_evenly() -> None:
    sources = np.random.default_rng(0).normal(1.2, 0.4, 400)
    wanted = Mirror(bins=10).of_sources(sources)
    own = np.histogram(sources, wanted.edges)[0]
    images = int(own.max() * 10 - 400)
    made = np.histogram(wanted.quantile((np.arange(images) + 0.5) / images), wanted.edges)[0]
    np.testing.assert_allclose(own + made, own.max(), atol=1.0)


def test_the_mirror_of_even_sources_is_even_and_its_range_can_be_given() -> None:
    assert set(Mirror(bins=2).of_sources([0.0, 1.0]).counts) == {1.0}
    wider = Mirror(bins=4, lowest=-1.0, highest=3.0).of_sources([1.1, 1.2, 1.3])
    assert (wider.edges[0], wider.edges[-1]) == (-1.0, 3.0)
    assert list(wider.counts) == [3.0, 3.0, 0.0, 3.0]


def test_a_sweep_has_each_value_equally_often() -> None:
    values, counts = np.unique(Sweep([0.5, -0.25, 2.0]).quantile(np.arange(9) / 9), return_counts=True)
    assert values.tolist() == [-0.25, 0.5, 2.0]
    assert counts.tolist() == [3, 3, 3]


def test_a_histogram_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "histogram.json"
    path.write_text(json.dumps({"edges": [0, 1, 2], "counts": [3, 4]}))
    assert read_histogram(path) == Histogram([0, 1, 2], [3, 4])


@pytest.mark.parametrize("content", ["", "[]", '{"edges": [0, 1]}', '{"edges": [1, 0], "counts": [1]}'])
def test_a_file_that_is_no_histogram_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "histogram.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"histogram\.json: not a histogram"):
        read_histogram(path)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Uniform, (1.0, 0.0)),
        (Uniform, (float("nan"), 1.0)),
        (Normal, (1.0, 0.0, 0.0, 2.0)),
        (Normal, (1.0, 0.5, 2.0, 2.0)),
        (Histogram, ([0.0, 1.0], [0.0])),
        (Histogram, ([0.0, 1.0], [1.0, 2.0])),
        (Sweep, ([],)),
    ],
)
def test_what_is_no_distribution_is_refused(kind: type[Distribution], arguments: tuple) -> None:
    with pytest.raises(InputError, match=r"Pass |finite mean"):
        kind(*arguments)


def test_a_mirror_needs_sources_that_differ() -> None:
    with pytest.raises(InputError, match="sources that differ"):
        Mirror().of_sources([0.4])
    with pytest.raises(ValueError, match="of_sources first"):
        Mirror().quantile([0.5])


def test_a_card_names_the_distribution_and_its_parameters() -> None:
    assert Uniform(0.0, 1.0).describe() == {"distribution": "Uniform", "lowest": 0.0, "highest": 1.0}


def test_the_sources_own_distribution_is_theirs() -> None:
    sources = np.random.default_rng(0).gamma(2.0, 0.5, 3000) - 0.5
    values = Own().of_sources(sources).quantile(SHARES)
    assert stats.ks_2samp(values, sources).statistic < 0.03
    assert set(Own().of_sources([0.4, 0.4]).quantile(SHARES)) == {0.4}


def test_the_sources_own_distribution_needs_sources_and_a_bin() -> None:
    with pytest.raises(ValueError, match="call of_sources first"):
        Own().quantile(0.5)
    with pytest.raises(InputError, match="at least one bin"):
        Own(0).of_sources([0.1, 0.2])
