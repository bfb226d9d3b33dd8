"""What the pages of queues, workers and slots show: rows -> plain values."""
