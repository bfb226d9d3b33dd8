"""What the pages of data sets show: the form, samples, charts."""
