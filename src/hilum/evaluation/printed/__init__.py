"""A card in print: the page, tables, checklists, and cards side by side."""
