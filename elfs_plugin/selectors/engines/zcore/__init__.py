"""ZCore: how well random draws from the embeddings' marginals are covered, with redundancy taken off."""
