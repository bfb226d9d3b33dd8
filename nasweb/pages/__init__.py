"""The pages: one module a page family, views and their addresses together."""
