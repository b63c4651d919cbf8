"""How many clusters there may be. Imports nothing heavy, for forms."""

from typing import Any

import numpy as np

from ..errors import InvalidInput


def validate_num_clusters(num_clusters: Any, n: int) -> None:
    """Raises :class:`InvalidInput` unless 2 <= num_clusters <= n."""
    if isinstance(num_clusters, bool) or not isinstance(num_clusters, (int, np.integer)):
        raise InvalidInput(f"The number of clusters must be a whole number, not {num_clusters}.", "num_clusters")
    if n < 2:
        raise InvalidInput(f"Clusters need at least two samples, there is {n:,}. Use a larger view.", "num_clusters")
    if num_clusters < 2:
        raise InvalidInput(
            f"The number of clusters must be between 2 and {n:,}, not {num_clusters}. It is the number of "
            "classes you expect.",
            "num_clusters",
        )
    if num_clusters > n:
        raise InvalidInput(
            f"{n:,} samples cannot fill {num_clusters:,} clusters. Choose between 2 and {n:,} clusters, or a larger "
            "view.",
            "num_clusters",
        )


def suggested_clusters(n: int) -> int:
    """A number to start with for n samples: 10, or fewer for a few."""
    return max(2, min(10, n // 5))
