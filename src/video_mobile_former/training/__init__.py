"""Training: recipes, and `fit`, which follows one."""
