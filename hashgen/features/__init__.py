"""Picture features: the frozen backbone, the store that later stages read, the memo that encodes once."""
