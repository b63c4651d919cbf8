"""Rounds of labelling, on arrays: which images next, what the labels so far teach, whether another round is worth it.

:mod:`.batch` mixes coverage and :mod:`.targets`, :mod:`.golden` measures, :mod:`.stopping` advises,
:mod:`.cluster_check` and :mod:`.pseudo_labels` let labels judge clusters and correct them, :mod:`.dealing` shares a
batch out among annotators.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batch": ["Batch", "check_mix", "next_batch"],
        "cluster_check": ["Judged", "judged"],
        "dealing": ["Agreement", "Majority", "Share", "agreement", "deal", "majority"],
        "golden": ["GoldenMeasure", "draw_golden", "measure"],
        "labelled": ["Labelled"],
        "pseudo_labels": ["Corrected", "corrected"],
        "stopping": ["Advice", "advise"],
    },
)
