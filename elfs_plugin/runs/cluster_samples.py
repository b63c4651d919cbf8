"""One image for each cluster, the one the clustering is most certain of."""

from . import fields


def cluster_samples(dataset, key, results, most):
    """The largest clusters as dicts: ``name``, ``size``, mean ``confidence`` and ``agreement``, ``id``, ``filepath``.

    Args:
        results: of :func:`~.record.load_results`; runs of older versions have no such list
        most: how many clusters at most

    The numbers are those of the clustering; a cluster whose image was deleted since is left out.
    """
    rows = (results.get("clusters") or {}).get("per_cluster") or []
    rows = sorted(rows, key=lambda row: (-row["size"], row["cluster"]))[:most]
    if not rows:
        return []
    view = fields.writable(dataset).select([row["id"] for row in rows])
    known = {i: (path, name) for i, path, name in zip(*view.values(["id", "filepath", f"{key}.pseudo_label.label"]))}
    return [{**row, "filepath": known[row["id"]][0], "name": known[row["id"]][1]} for row in rows if row["id"] in known]
