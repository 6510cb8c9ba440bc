"""Beyond one process: many samples in shards, and training on several processes."""

from gfe_core.scale.ranks import Rank
from gfe_core.scale.rows import Rows
from gfe_core.scale.shards import encode_shards, read_codes

__all__ = ["Rank", "Rows", "encode_shards", "read_codes"]
