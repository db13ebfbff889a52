"""A package, and no namespace: Avalanche brings one of this name, which workers would import instead."""
