"""The project's own rules: packaging, imports, house style."""
