"""Where batches are sent: a file for each labelling tool, found by :mod:`.registry`."""
