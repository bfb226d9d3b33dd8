"""What a run's page and its stream show, made from rows, without a request."""
