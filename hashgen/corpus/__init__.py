"""Posts on disk: raw shards, and the tables that one stage passes to the next."""
