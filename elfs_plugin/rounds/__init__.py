"""Rounds of labelling, on arrays: which images next, what the labels so far teach, whether another round is worth it.

:mod:`.batch` mixes coverage and targets, :mod:`.golden` measures, :mod:`.stopping` advises, :mod:`.pseudo_labels` lets
labels correct clusters, :mod:`.dealing` shares a batch out among annotators.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"labelled": ["Labelled"]})
