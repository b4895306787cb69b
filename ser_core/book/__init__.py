"""What makes the book of Runs: chapters, figures, tables, the literature and the lint of its prose."""
