"""The stages of the pipeline: each a thin Typer command that opens inputs, calls hashgen and writes outputs."""
