"""Posts as models see them."""

import pytest

from hashgen.features.posts import spaced


@pytest.mark.parametrize(
    ("total", "most", "places"), [(0, 3, []), (1, 3, [0]), (3, 3, [0, 1, 2]), (5, 3, [0, 2, 4]), (9, 1, [0])]
)
def test_places_are_all_or_so_many_at_even_distances(total: int, most: int, places: list[int]) -> None:
    assert spaced(total, most).tolist() == places
