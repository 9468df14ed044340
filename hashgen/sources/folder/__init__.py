"""A folder of pictures with a metadata file, as Hugging Face's ImageFolder has them."""
