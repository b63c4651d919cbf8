"""``python -m elfs_plugin``: run, compare, demo."""
