"""What people read about a run: the page, the model card, the dataset card, pictures, and runs side by side."""
