"""What a user reads when an input is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bundle.errors import InputError


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of a call that is refused."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    return str(caught.value)
