"""Drafts against references: text and clinical metrics, floors, the report language, the judge that runs them."""
