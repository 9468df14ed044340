"""How good hashtags are: figures, intervals, baselines, ceilings."""
