"""From an experiment file to Runs, and from Runs to scores: folds, fitting, keys, verification."""
