from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.selectors import select
from elfs_plugin.selectors.methods.u_herding import margin_uncertainty, smallest_distance
from tests.helpers import make_pool


def test_without_labelled_images_it_is_max_herding(pool):
    assert select("u_herding", pool, 15).indices.tolist() == select("max_herding", pool, 15).indices.tolist()
    locked = replace(pool, locked=pool.ids[:6], probabilities=None)
    assert select("u_herding", locked, 9).indices.tolist() == select("max_herding", locked, 9).indices.tolist()


def test_it_goes_where_the_model_is_unsure():
    pool = make_pool(90, clusters=3)
    unsure = pool.pseudo_labels == 1
    probabilities = np.where(unsure[:, None], [[0.34, 0.33, 0.33]], [[0.98, 0.01, 0.01]]).astype("f4")
    pool = replace(pool, probabilities=probabilities, locked=pool.ids[:6])
    chosen = select("u_herding", pool, 3).indices
    assert unsure[chosen].all()


def test_uncertainty_is_one_less_the_lead_of_the_best():
    assert margin_uncertainty(np.array([[0.7, 0.1, 0.2], [0.5, 0.5, 0.0]])) == pytest.approx([0.5, 1.0])
    assert margin_uncertainty(np.ones((2, 1))).tolist() == [1, 1]


def test_the_width_is_the_smallest_distance_of_two_that_differ():
    angles = np.radians([0, 0, 60, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert smallest_distance(vectors) == pytest.approx(1.0, abs=1e-5)
    assert smallest_distance(vectors[[0, 3]]) == pytest.approx(2.0)
    assert smallest_distance(vectors[:2], otherwise=0.7) == 0.7
    assert smallest_distance(vectors[[0]]) == 1.0
