"""The recipes: each passes its own linter, and its steps are carried out in a repository."""
