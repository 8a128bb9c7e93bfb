from __future__ import annotations

import pytest
from bundle.errors import InputError
from bundle.io.sharing import SharedSampler


def test_processes_share_all_samples() -> None:
    parts = [list(SharedSampler([0] * 5, num_replicas=2, rank=rank, even_divisible=False)) for rank in range(2)]
    assert sorted(index for part in parts for index in part) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("even_divisible", [True, False])
def test_fewer_samples_than_processes_are_refused_with_what_to_do(even_divisible: bool) -> None:
    with pytest.raises(InputError, match=r"3 processes for 2 of the joints\. Start at most 2 processes"):
        SharedSampler([0, 1], what="joints", num_replicas=3, rank=0, even_divisible=even_divisible)
