"""A baseline that was never trained here: a vision-language model of the user's own, asked for hashtags."""
