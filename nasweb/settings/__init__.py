"""Settings: ``local`` (make run), ``production`` (your servers), ``test``."""
