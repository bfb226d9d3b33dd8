"""The search itself: PyTorch, and no Django, Celery or Redis."""
