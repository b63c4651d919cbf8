"""FiftyOne's objects by name, for signatures. FiftyOne has no types of its own, so a type checker sees ``Any``."""

from typing import Any, TypeAlias

Dataset: TypeAlias = Any
"""``fiftyone.Dataset``."""

View: TypeAlias = Any
"""``fiftyone.DatasetView``."""

Collection: TypeAlias = Any
"""A dataset or a view of one."""

Document: TypeAlias = Any
"""What MongoEngine makes of a document in the database."""

Query: TypeAlias = dict[str, Any]
"""A filter of MongoDB."""
