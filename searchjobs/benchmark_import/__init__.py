"""Bring the NAS-Bench-201 table in from the files that its authors give out.

sources.py                what a path holds, told by its content
csv_table.py              a CSV, plain or gzip
nasbench201_pth.py        the official ``.pth`` of NAS-Bench-201
nats_folder.py            the topology folder of NATS-Bench
restricted_unpickler.py   the few names that the two pickles may use
rows.py                   what every reader yields, and its checks
store.py                  rows -> PostgreSQL, and the ranks
"""
