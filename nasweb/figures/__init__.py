"""Rows to Plotly figures: pure functions, no database, no request, no colours.

A figure is the JSON that Plotly.js draws.  Three rules keep page and stream simple:

- Colours are written as ``var(--token)``.  The browser puts in the value of the
  theme in force and puts it in anew when the theme changes; ``soft(var(--token))``
  is the same colour, thinned for an area.
- A trace that grows with the epochs says in ``meta`` which field of an epoch's point
  it shows; the browser appends that field when the next epoch arrives.
- ``uirevision`` never changes, so zoom and hidden traces survive every update.
"""
