"""What a person reads of a run: the page, the model card and the dataset card, pictures, and runs laid side by side."""
