"""Images → embeddings: encoders, decoding, vectors that are given, thumbnails, the plot of embeddings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "embed": ["Embeddings", "TorchEncoder", "embed_images", "validate_vectors"],
    },
)
