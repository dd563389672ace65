"""What others rely on: recipes, golden bytes, the template."""
