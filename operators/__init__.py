"""The five stages (decode, stamp, observe, judge, act) and their kernels: plain Python on columns, no engine, no I/O, no clock."""
