"""How a network learns: data as batches, the training loop, checkpoints, decoding."""
