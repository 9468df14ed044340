"""Pictures as files and pixels, without torch: decoding, crops, hashes, near-duplicates, stripping."""
