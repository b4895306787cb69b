"""Honest evaluation of speech emotion recognition: corpora, splits, audits, features, Runs and scores.

Five rooms on the foundations (errors, paths, files); a module imports from its own room and those before it:

- evaluation: metrics, bootstrap and permutation, comparisons, floors.
- data: clips, recordings, labels, transcripts, corpora, splits, audits, data cards.
- systems: features, classifiers, encoders, networks and their settings.
- experiments: from an experiment file to Runs, and from Runs to scores.
- book: chapters, figures, tables, the literature and the lint of the prose.

Beside them stands the command line, cli.
"""

__version__ = "0.1.0"
