"""Picture features: the frozen backbone, the store that later stages read, and the memo kept between runs."""
