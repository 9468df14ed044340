"""Posts as they are kept on disk: raw shards, and the tables that the stages hand on."""
