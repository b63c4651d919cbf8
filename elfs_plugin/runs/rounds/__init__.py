"""Rounds of labelling on a run: choose a batch, send it, take the labels back, learn, choose the next.

:mod:`.state` is what a run's record holds of them, :mod:`.names` what they are called on the dataset, :mod:`.backends`
where batches are sent. The jobs are :mod:`.choosing`, :mod:`.sending`, :mod:`.returning` and :mod:`.learning`;
:mod:`.timeline` is for who shows them.
"""
